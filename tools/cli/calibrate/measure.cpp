#include "tools/cli/calibrate/measure.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "sim/base/error.hpp"

namespace rehearse {
namespace {

namespace fs = std::filesystem;

enum class Program {
  kAlone,     // PyTorch, one GPU
  kTogether,  // PyTorch, a process a GPU; left out on a machine with one
  kCuda       // CUDA C++, compiled first
};

struct Part {
  const char* name;
  const char* source;  // below calibration/
  Program program;
  int seconds;  // of a budget of kUsualBudget
  const char* results;
};

constexpr std::array kParts{
    Part{"machine", "pytorch/machine.py", Program::kAlone, 0, "machine.json"},
    Part{"gemm", "pytorch/gemm.py", Program::kAlone, 120, "gemm.csv"},
    Part{"attention", "pytorch/attention.py", Program::kAlone, 65, "attention.csv"},
    Part{"kernels", "pytorch/kernels.py", Program::kAlone, 170, "kernels.csv"},
    Part{"experts", "pytorch/experts.py", Program::kAlone, 40, "experts.csv"},
    Part{"in_context", "pytorch/in_context.py", Program::kAlone, 45, "in_context.csv"},
    Part{"decode", "pytorch/decode.py", Program::kAlone, 50, "decode.csv"},
    Part{"bandwidth", "cuda/bandwidth.cu", Program::kCuda, 10, "bandwidth.csv"},
    Part{"launch", "cuda/launch.cu", Program::kCuda, 5, "launch.csv"},
    Part{"clocks", "cuda/clocks.cu", Program::kCuda, 8, "clocks.csv"},
    Part{"host", "pytorch/host.py", Program::kAlone, 50, "host.csv"},
    Part{"collectives", "pytorch/collectives.py", Program::kTogether, 80, "collectives.csv"},
    Part{"overlap", "pytorch/overlap.py", Program::kTogether, 45, "overlap.csv"},
    Part{"overlap_kernels", "pytorch/overlap_kernels.py", Program::kTogether, 40,
         "overlap_kernels.csv"}};

int usual_seconds() {
  return std::accumulate(kParts.begin(), kParts.end(), 0,
                         [](int sum, const Part& p) { return sum + p.seconds; });
}

struct Ended {
  int code = 0;
  bool interrupted = false;
};

// An interrupt reaches the program, which is of the same group; here it is told by how that ended.
Ended run_shell(const std::string& command) {
  const int status = std::system(command.c_str());
  if (status == -1) return {127, false};
  if (WIFSIGNALED(status)) return {128, WTERMSIG(status) == SIGINT};
  const int code = WEXITSTATUS(status);
  return {code, code == 128 + SIGINT};
}

bool works(const std::string& command) {
  return run_shell("(" + command + ") >/dev/null 2>&1").code == 0;
}

int gpu_count() {
  int n = 0;
  if (FILE* out = popen("nvidia-smi -L 2>/dev/null", "r")) {
    std::array<char, 256> line{};
    while (std::fgets(line.data(), static_cast<int>(line.size()), out)) ++n;
    pclose(out);
  }
  return n;
}

std::string command_of(const Part& part, const MeasureOptions& o, int gpus, int seconds) {
  const std::string source = shell_quoted(o.programs + "/" + part.source),
                    out = shell_quoted(o.results);
  const std::string budget =
      part.seconds > 0 ? fmt::format(" --budget {}", seconds) : std::string();
  switch (part.program) {
    case Program::kAlone:
      return fmt::format("CUDA_VISIBLE_DEVICES=0 {} {} {}{}", python(), source, out, budget);
    case Program::kTogether:
      return fmt::format(
          "NCCL_NVLS_ENABLE=${{NCCL_NVLS_ENABLE:-0}} {} -m torch.distributed.run --standalone "
          "--nproc_per_node={} {} {}{}",
          python(), gpus, source, out, budget);
    case Program::kCuda: {
      const std::string binary = shell_quoted(o.results + "/bin/" + part.name);
      return fmt::format(
          "nvcc -std=c++17 -O3 -arch=${{REHEARSE_CUDA_ARCH:-native}} {} -o {} -lcublasLt && "
          "CUDA_VISIBLE_DEVICES=0 {} {} {}",
          source, binary, binary, out, seconds);
    }
  }
  return "false";
}

// For a terminal.
void say(const std::string& text) {
  if (isatty(STDERR_FILENO)) fmt::print(stderr, "{}\n", text);
}

}  // namespace

std::string shell_quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string python() {
  const char* set = std::getenv("PYTHON");
  return shell_quoted(set && *set != '\0' ? set : "python3");
}

std::string calibration_folder() {
  if (const char* set = std::getenv("REHEARSE_CALIBRATION"); set && *set != '\0') return set;
  std::error_code status;
  const fs::path executable = fs::read_symlink("/proc/self/exe", status);
  if (!status) {
    const fs::path installed =
        (executable.parent_path() / ".." / "share" / "rehearse" / "calibration").lexically_normal();
    if (fs::is_directory(installed, status)) return installed.string();
  }
  return REHEARSE_SOURCE_CALIBRATION;
}

void check_machine() {
  Diagnostics missing;
  if (gpu_count() == 0)
    missing.add({}, "no GPU: nvidia-smi lists none",
                "run it on a machine with an NVIDIA GPU and driver; --from DIR refits stored "
                "results");
  if (!works(python() + " -c 'import torch; assert torch.cuda.is_available()'"))
    missing.add({}, "no PyTorch that sees a GPU in " + python(),
                "install PyTorch with CUDA, or set PYTHON to an interpreter that has it");
  if (!works("nvcc --version"))
    missing.add({}, "no CUDA compiler: nvcc is not on the PATH",
                "install the CUDA toolkit and put its bin folder on the PATH");
  missing.throw_if_any();
}

MeasureOutcome measure(const MeasureOptions& o) {
  MeasureOutcome out;
  fs::create_directories(o.results + "/logs");
  fs::create_directories(o.results + "/bin");
  const int gpus = gpu_count();
  const double scale = o.budget_s / usual_seconds();
  std::size_t n = 0;
  for (const Part& part : kParts) {
    const std::string at = fmt::format("[{}/{}] {}", ++n, kParts.size(), part.name);
    const std::string log = fmt::format("{}/logs/{}.log", o.results, part.name),
                      done = fmt::format("{}/logs/{}.done", o.results, part.name),
                      file = fmt::format("{}/{}", o.results, part.results);
    if (part.program == Program::kTogether && gpus < 2) {
      say(at + ": left out, it needs two GPUs");
      continue;
    }
    if (fs::exists(done) && fs::exists(file)) {
      say(at + ": measured before");
      continue;
    }
    fs::remove(file);
    const int seconds = std::max(3, static_cast<int>(part.seconds * scale));
    say(fmt::format("{}: at most {} s", at, seconds));
    const Ended ended = run_shell(
        fmt::format("({}) >{} 2>&1", command_of(part, o, gpus, seconds), shell_quoted(log)));
    if (ended.interrupted) {
      out.interrupted = true;
      return out;
    }
    if (ended.code == 0 && fs::exists(file))
      std::ofstream(done) << "done\n";
    else
      out.failed.push_back(fmt::format("{} (see {})", part.name, log));
  }
  return out;
}

}  // namespace rehearse
