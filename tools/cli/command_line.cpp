#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "sim/base/error.hpp"
#include "sim/base/suggest.hpp"
#include "tools/cli/command.hpp"

namespace rehearse {
namespace {

// A subcommand as CLI11 holds it, with what it will do.
struct Parsed {
  CLI::App* sub = nullptr;
  std::function<int()> action;
};

// A file opened later must not become stdout because the caller closed ours. A closed stdout is
// opened unwritable, so that output to it is an error and not lost in silence.
void occupy_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) == -1 && errno == EBADF) {
      open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
    }
  }
  // A reader that has seen enough (`| head`) shows up as EPIPE, after files are written.
  std::signal(SIGPIPE, SIG_IGN);
}

void complain(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  if (!text.ends_with('\n')) {
    std::fputc('\n', stderr);
  }
}

int fail(const std::string& message, const std::string& hint = {}) {
  complain(fmt::format("error: {}{}", message, hint.empty() ? "" : fmt::format(" ({})", hint)));
  return kExitUserError;
}

// What stands on the command line and that no option takes: the first of it, with the nearest name.
int fail_extras(const CLI::App& app, const CLI::ExtrasError& error) {
  for (const CLI::App* sub : app.get_subcommands()) {
    const std::vector<std::string> extras = sub->remaining();
    if (extras.empty()) {
      continue;
    }
    if (!extras[0].starts_with('-')) {
      return fail(fmt::format("{}: unexpected argument '{}'", sub->get_name(), extras[0]));
    }
    const std::string given = extras[0].substr(0, extras[0].find('='));
    std::vector<std::string> names;
    for (const CLI::Option* option : sub->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        names.push_back("--" + name);
      }
    }
    const std::string nearest = nearest_name(given, names);
    return fail(fmt::format("{}: unknown option '{}'", sub->get_name(), given),
                nearest.empty() ? fmt::format("see 'rehearse {} --help'", sub->get_name())
                                : fmt::format("did you mean '{}'?", nearest));
  }
  return fail(error.what());
}

int fail_parse(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    return app.exit(error);  // --help, --version
  }
  if (const auto* extras = dynamic_cast<const CLI::ExtrasError*>(&error)) {
    return fail_extras(app, *extras);
  }
  const std::vector<CLI::App*> subs = app.get_subcommands();
  return fail(error.what(), fmt::format("see 'rehearse{}{} --help'", subs.empty() ? "" : " ",
                                        subs.empty() ? "" : subs[0]->get_name()));
}

int run_parsed(CLI::App& app, std::vector<Parsed>& parsed, int argc, char** argv) {
  if (argc < 2) {
    complain(app.help());
    return kExitUserError;
  }
  std::vector<std::string> names;
  for (const Parsed& p : parsed) {
    names.push_back(p.sub->get_name());
  }
  if (argv[1][0] != '-' && std::find(names.begin(), names.end(), argv[1]) == names.end()) {
    const std::string hint = suggestion(argv[1], names);
    return fail(fmt::format("unknown command '{}'", argv[1]),
                hint.empty() ? "see 'rehearse --help'" : hint);
  }
  if (argv[1][0] == '-' && app.get_option_no_throw(argv[1]) == nullptr) {
    return fail(fmt::format("unknown option '{}' before a command", argv[1]),
                "see 'rehearse --help'");
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return fail_parse(app, error);
  }
  for (const Parsed& p : parsed) {
    if (app.got_subcommand(p.sub)) {
      return p.action();
    }
  }
  return fail("no command", "see 'rehearse --help'");
}

// Says what went wrong with a stream that was written; EPIPE is the reader's choice.
int finish_output(int code) {
  errno = 0;
  std::cout.flush();
  const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout;
  if (!failed || errno == EPIPE) {
    return code;
  }
  complain(fmt::format("error: cannot write to standard output: {}",
                       std::generic_category().message(errno == 0 ? EIO : errno)));
  return code == kExitDone ? kExitUserError : code;
}

int bug(const char* what) {
  complain(fmt::format("internal error (bug): {}", what));
  return kExitBug;
}

// The one place where an exception becomes an exit code.
int guarded(const std::function<int()>& body) {
  try {
    return body();
  } catch (const UserError& error) {
    complain(error.what());
    return kExitUserError;
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::broken_pipe) {
      return kExitDone;
    }
    return fail(error.what());
  } catch (const std::exception& error) {
    return bug(error.what());
  } catch (...) {
    return bug("unknown exception");
  }
}

}  // namespace

int run_command_line(int argc, char** argv) {
  occupy_standard_streams();
  const int code = guarded([&] {
    CLI::App app("Predicts what one training step of a model costs on a GPU cluster.", "rehearse");
    app.require_subcommand(1);
    app.set_version_flag("--version", "rehearse " REHEARSE_VERSION);
    // Reserved, so that no element moves while CLI11's callbacks refer to it.
    std::vector<Parsed> parsed;
    parsed.reserve(commands().size());
    for (const Command& command : commands()) {
      Parsed& p = parsed.emplace_back();
      p.sub = app.add_subcommand(command.name, command.summary);
      command.setup(*p.sub, p.action);
    }
    return run_parsed(app, parsed, argc, argv);
  });
  return finish_output(code);
}

}  // namespace rehearse
