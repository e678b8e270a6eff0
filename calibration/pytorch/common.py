"""What every benchmark in this folder shares: device, budget, CSV files, statistics, clocks.

With REHEARSE_DRY_RUN=1 everything runs on the CPU over tiny sizes, and times mean nothing: it shows
that every benchmark still runs where there is no GPU.
"""

import csv
import ctypes
import os
import statistics
import threading
import time

import torch

DRY_RUN = os.environ.get("REHEARSE_DRY_RUN") == "1"
MIB = 1 << 20
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def device():
    if DRY_RUN:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def itemsize(dtype):
    return torch.empty(0, dtype=dtype).element_size()


def synchronize():
    if not DRY_RUN:
        torch.cuda.synchronize()


def free_memory():
    if not DRY_RUN:
        torch.cuda.empty_cache()


def events_us(run, before=lambda: None, repeats=15):
    """Median microseconds of a call by events, `before` not counted."""
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        before()
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        run()
        ended.record()
        ended.synchronize()
        times.append(began.elapsed_time(ended) * 1e3)
    return median(times)


class Budget:
    """Seconds that a benchmark may take, counted from its start."""

    def __init__(self, seconds):
        self.start = time.monotonic()
        self.seconds = seconds

    def spent(self):
        return time.monotonic() - self.start

    def left(self):
        return self.seconds - self.spent()

    def over(self):
        return self.left() <= 0


class Table:
    """A CSV file whose rows reach the disk as they are measured, so that a benchmark that is cut
    off leaves what it had."""

    def __init__(self, path, columns):
        self.columns = columns
        self.file = open(path, "w", newline="", encoding="utf-8")
        self.writer = csv.DictWriter(self.file, columns)
        self.writer.writeheader()
        self.file.flush()

    def row(self, **values):
        self.writer.writerow({k: _short(v) for k, v in values.items()})

    def flush(self):
        self.file.flush()

    def close(self):
        self.file.close()


def _short(value):
    return f"{value:.6g}" if isinstance(value, float) else value


def median(values):
    return statistics.median(values)


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class Timer:
    """Elapsed seconds of what is enqueued on the current stream between start() and stop()."""

    def __init__(self):
        if not DRY_RUN:
            self.a = torch.cuda.Event(enable_timing=True)
            self.b = torch.cuda.Event(enable_timing=True)

    def start(self):
        if DRY_RUN:
            self.a = time.perf_counter()
        else:
            self.a.record()

    def stop(self):
        if DRY_RUN:
            self.b = time.perf_counter()
        else:
            self.b.record()

    def seconds(self):
        if DRY_RUN:
            return self.b - self.a
        self.b.synchronize()
        return self.a.elapsed_time(self.b) * 1e-3


def spin(microseconds):
    """Keeps the stream busy while the host enqueues what comes after."""
    if not DRY_RUN:
        torch.cuda._sleep(int(microseconds * 1800))


def random_like_training(shape, dtype, scale=1.0):
    """Random data: matrix products on zeros use less power and run faster than real ones."""
    x = torch.empty(shape, dtype=dtype, device=device())
    if DRY_RUN and dtype != torch.float32:
        return x.zero_()
    return x.normal_(0.0, scale)


class Pool:
    """Views into one large random buffer: new operands without new allocations or fills."""

    def __init__(self, elements, dtype):
        self.elements = elements
        self.buffer = random_like_training((elements,), dtype)
        self.next = 0

    def take(self, *shape):
        n = 1
        for d in shape:
            n *= d
        if n > self.elements:
            raise ValueError(f"the pool holds {self.elements} elements, not {n}")
        if self.next + n > self.elements:
            self.next = 0
        view = self.buffer[self.next : self.next + n].view(*shape)
        self.next += (n + 1023) // 1024 * 1024
        return view.detach()


class L2Flush:
    """Evicts the L2 cache by reading (not writing: dirty lines would be written back during what
    is measured) a buffer several times its size."""

    def __init__(self, mebibytes=256):
        if not DRY_RUN:
            self.buffer = torch.ones(mebibytes * MIB // 4, device=device())

    def __call__(self):
        if not DRY_RUN:
            self.buffer.sum()


class Nvml:
    """Clocks, power and throttle reasons through libnvidia-ml, without a Python package."""

    def __init__(self, index=None):
        self.library = None
        try:
            self.library = ctypes.CDLL("libnvidia-ml.so.1")
            self.library.nvmlInit_v2()
            if index is None:
                index = _physical_index()
            self.handle = ctypes.c_void_p()
            code = self.library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(self.handle))
            if code != 0:
                self.library = None
        except OSError:
            self.library = None

    def _read(self, function, *arguments, kind=ctypes.c_uint):
        if self.library is None:
            return 0
        value = kind(0)
        code = getattr(self.library, function)(self.handle, *arguments, ctypes.byref(value))
        return value.value if code == 0 else 0

    def sm_mhz(self):
        return self._read("nvmlDeviceGetClockInfo", 1)

    def memory_mhz(self):
        return self._read("nvmlDeviceGetClockInfo", 2)

    def max_sm_mhz(self):
        return self._read("nvmlDeviceGetMaxClockInfo", 1)

    def watts(self):
        return self._read("nvmlDeviceGetPowerUsage") / 1000.0

    def limit_watts(self):
        return self._read("nvmlDeviceGetEnforcedPowerLimit") / 1000.0

    def celsius(self):
        return self._read("nvmlDeviceGetTemperature", 0)

    def throttle_reasons(self):
        return self._read(
            "nvmlDeviceGetCurrentClocksThrottleReasons", kind=ctypes.c_ulonglong
        )


def _physical_index():
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    names = [v for v in visible.split(",") if v.strip().isdigit()]
    return int(names[local]) if local < len(names) else local


class ClockSampler:
    """Samples SM clock and power in a thread while a benchmark runs."""

    def __init__(self, nvml, period=0.02):
        self.nvml = nvml
        self.period = period
        self.samples = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.stopping.set()
        self.thread.join(timeout=2)

    def _run(self):
        while not self.stopping.is_set():
            self.samples.append((time.monotonic(), self.nvml.sm_mhz(), self.nvml.watts()))
            self.stopping.wait(self.period)

    def between(self, begin, end):
        """Mean SM clock (MHz), least clock and mean power (W) over a span of time.monotonic()."""
        inside = [s for s in self.samples if begin <= s[0] <= end and s[1] > 0]
        if not inside:
            return 0.0, 0.0, 0.0
        clocks = [s[1] for s in inside]
        return (
            statistics.fmean(clocks),
            float(min(clocks)),
            statistics.fmean([s[2] for s in inside]),
        )
