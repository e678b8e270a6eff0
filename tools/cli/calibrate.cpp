#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "calibration/fit/fit_training.hpp"
#include "calibration/fit/section.hpp"
#include "hardware/gpu.hpp"
#include "sim/base/error.hpp"
#include "sim/config/catalog.hpp"
#include "sim/report/writers/writers.hpp"
#include "tools/cli/calibrate/findings.hpp"
#include "tools/cli/calibrate/measure.hpp"
#include "tools/cli/command.hpp"

namespace rehearse {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string from;
  std::string results = "calibration-results";
  std::string gpu;
  std::string out;
  double budget_s = 728;
};

struct DeviceName {
  const char* device;  // how the driver's name begins
  const char* gpu;
};
// The first that fits.
constexpr std::array kDeviceNames{DeviceName{"NVIDIA H200", "h200-sxm"},
                                  DeviceName{"NVIDIA H100", "h100-sxm"},
                                  DeviceName{"NVIDIA A100-SXM4-40GB", "a100-sxm-40gb"},
                                  DeviceName{"NVIDIA A100", "a100-sxm"},
                                  DeviceName{"NVIDIA B200", "b200-sxm"},
                                  DeviceName{"NVIDIA B300", "b300-sxm"},
                                  DeviceName{"NVIDIA GB200", "gb200"},
                                  DeviceName{"NVIDIA GB300", "gb300"},
                                  DeviceName{"NVIDIA L40S", "l40s"},
                                  DeviceName{"NVIDIA GeForce RTX 4090", "rtx-4090"},
                                  DeviceName{"NVIDIA RTX PRO 6000", "rtx-pro-6000"},
                                  DeviceName{"Tesla V100", "v100-sxm"}};

// The catalog's name of the GPU that the results are of.
std::string gpu_of_results(const std::string& results) {
  const std::string path = results + "/machine.json";
  std::ifstream in(path);
  if (!in)
    throw UserError({path, 0, 0}, "cannot read what machine the results are of",
                    "name the GPU: --gpu NAME");
  std::string name;
  try {
    name = nlohmann::json::parse(in).at("gpus").at(0).at("name");
  } catch (const nlohmann::json::exception& e) {
    throw UserError({path, 0, 0}, fmt::format("names no GPU: {}", e.what()),
                    "name the GPU: --gpu NAME");
  }
  for (const DeviceName& d : kDeviceNames)
    if (name.starts_with(d.device)) return d.gpu;
  throw UserError({path, 0, 0}, fmt::format("'{}' is no GPU of the catalog", name),
                  "write its datasheet into a file (configs/gpus/README.md) and name it: --gpu "
                  "FILE");
}

// Tables that the file names lie in a folder beside it.
void copy_tables(const fs::path& file, const fs::path& out) {
  const fs::path tables = file.parent_path() / file.stem();
  if (!fs::is_directory(tables)) return;
  fs::copy(tables, out.parent_path() / file.stem(),
           fs::copy_options::recursive | fs::copy_options::overwrite_existing);
}

// A fit in Python: of the GPU file to what a benchmark found, where that was run.
struct Script {
  const char* name;
  const char* reads;
  const char* needs;
};
constexpr std::array kScripts{Script{"fit_kernels.py", "kernels.csv", "NumPy"},
                              Script{"fit_shapes.py", "kernels.csv", "NumPy, SciPy and pandas"},
                              Script{"fit_beside.py", "in_context.csv", "NumPy"},
                              Script{"fit_decode.py", "decode.csv", "NumPy, SciPy and pandas"}};

void fit_by(const Script& script, const std::string& results, const std::string& out) {
  const std::string data = results + "/" + script.reads;
  if (!fs::exists(data) && !fs::exists(data + ".gz")) return;
  // The scripts name Debian's Python, which has what they need where the packages of tools/ are
  // installed.
  const char* set = std::getenv("PYTHON");
  const std::string command =
      fmt::format("{} {} {} {} >/dev/null", set && *set != '\0' ? python() : std::string(),
                  shell_quoted(calibration_folder() + "/" + script.name), shell_quoted(results),
                  shell_quoted(out));
  if (std::system(command.c_str()) != 0)
    throw UserError({data, 0, 0}, fmt::format("{} could not fit it", script.name),
                    fmt::format("it needs {}; PYTHON names the interpreter", script.needs));
}

void fit(const std::string& results, const Options& o) {
  const std::string gpu = o.gpu.empty() ? gpu_of_results(results) : o.gpu;
  const fs::path base = is_path(gpu) ? fs::path(gpu) : fs::path(catalog_file("gpus", gpu, {}));
  std::string out = o.out;
  if (out.empty())
    out = (o.from.empty() ? results + "/" : std::string()) + base.stem().string() + ".yaml";
  check_output(out);
  fs::path folder = fs::path(out).parent_path();
  if (folder.empty()) folder = ".";
  const bool in_place = fs::exists(out) && fs::equivalent(base, out);
  try {
    const std::string text = with_training_marks(read_file(base.string()));
    if (!in_place) copy_tables(base, folder / fs::path(out).filename());
    write_file(out, text);
    for (const std::string& line : fit_training(results, out)) fmt::print("{}\n", line);
  } catch (const std::runtime_error& e) {
    throw UserError({base.string(), 0, 0}, e.what());
  }
  for (const Script& script : kScripts) fit_by(script, results, out);
  fmt::print("\n{}\nwritten to {}\n", findings(results, read_gpu(parse_file(out))), out);
}

int calibrate(const Options& o) {
  if (!o.from.empty()) {
    if (!fs::is_directory(o.from)) throw UserError({o.from, 0, 0}, "no folder of results");
    fit(o.from, o);
    return kExitDone;
  }
  check_machine();
  const MeasureOutcome outcome = measure({calibration_folder(), o.results, o.budget_s});
  if (outcome.interrupted) {
    fmt::print(stderr, "interrupted; the same command goes on from here\n");
    return kExitCheckFailed;
  }
  fit(o.results, o);
  for (const std::string& part : outcome.failed)
    fmt::print(stderr, "{} failed; the same command tries it again\n", part);
  return outcome.failed.empty() ? kExitDone : kExitCheckFailed;
}

}  // namespace

void setup_calibrate(CLI::App& sub, std::function<int()>& action) {
  auto o = std::make_shared<Options>();
  sub.add_option("--from", o->from, "refits the results in this folder, without measuring");
  sub.add_option("--results", o->results, "folder for what is measured; what is there is kept")
      ->capture_default_str();
  sub.add_option("--gpu", o->gpu,
                 "the GPU's datasheet: a name of the catalog or a file (default: by its name)");
  sub.add_option("--out", o->out, "the GPU file to write (default: NAME.yaml)");
  sub.add_option("--budget", o->budget_s, "seconds for all measurements")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  action = [o] { return calibrate(*o); };
}

}  // namespace rehearse
