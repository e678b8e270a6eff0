#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>

namespace rehearse {

// One subcommand: `setup` declares its options on `sub` and sets `action`, which runs after parsing
// and returns the exit code. Results go to stdout, everything else to stderr.
struct Command {
  const char* name;
  const char* summary;
  void (*setup)(CLI::App& sub, std::function<int()>& action);
};

// Every subcommand, in the order of the help text. A new one is tools/cli/<name>.cpp and one line
// in tools/cli/commands.cpp.
std::span<const Command> commands();

// Exit codes: a promise to scripts.
inline constexpr int kExitDone = 0;
inline constexpr int kExitCheckFailed = 1;  // a check that the user asked for
inline constexpr int kExitUserError = 2;
inline constexpr int kExitBug = 70;

// Parses, runs and reports: all of `rehearse` but main(). Never throws.
int run_command_line(int argc, char** argv);

}  // namespace rehearse
