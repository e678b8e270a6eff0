"""The machine's particulars: machine.json.

usage: machine.py OUT_DIRECTORY
"""

import json
import os
import platform
import subprocess
import sys
import time

import torch

from common import Nvml


def _cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def _output(*command):
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def particulars():
    gpus = []
    for index in range(torch.cuda.device_count()):
        p = torch.cuda.get_device_properties(index)
        nvml = Nvml(index)
        free, total = torch.cuda.mem_get_info(index)
        gpus.append({
            "name": p.name, "sm_count": p.multi_processor_count,
            "compute_capability": f"{p.major}.{p.minor}", "l2_bytes": getattr(p, "L2_cache_size", 0),
            "memory_total_bytes": total, "memory_free_bytes": free,
            "sm_clock_mhz": nvml.sm_mhz(), "sm_clock_max_mhz": nvml.max_sm_mhz(),
            "memory_clock_mhz": nvml.memory_mhz(), "power_limit_w": nvml.limit_watts(),
            "idle_power_w": nvml.watts(), "temperature_c": nvml.celsius(),
        })  # fmt: skip
    driver = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return {
        "time_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "gpus": gpus,
        "driver": driver.splitlines()[0] if driver else "",
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "nccl": ".".join(map(str, torch.cuda.nccl.version())) if gpus else "",
        "cudnn": torch.backends.cudnn.version() if gpus else 0,
        "python": sys.version.split()[0],
        "cpu": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "kernel": platform.release(),
        "topology": _output("nvidia-smi", "topo", "-m").splitlines(),
        "environment": {k: v for k, v in sorted(os.environ.items())
                        if k.startswith(("NCCL_", "TORCH_", "PYTORCH_"))},  # fmt: skip
    }


def main():
    path = os.path.join(sys.argv[1], "machine.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(particulars(), file, indent=1)
        file.write("\n")
    print("machine:", path)


if __name__ == "__main__":
    main()
