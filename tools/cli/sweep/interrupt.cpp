#include "tools/cli/sweep/interrupt.hpp"

#include <signal.h>

#include <initializer_list>

namespace rehearse {
namespace {

volatile sig_atomic_t caught = 0;

extern "C" void remember_signal(int number) { caught = number; }

void handle(void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  for (const int number : {SIGINT, SIGTERM}) sigaction(number, &action, nullptr);
}

}  // namespace

Interrupt::Interrupt() {
  caught = 0;
  handle(remember_signal, static_cast<int>(SA_RESETHAND | SA_RESTART));
}

Interrupt::~Interrupt() { handle(SIG_DFL, 0); }

int Interrupt::signal() { return caught; }

}  // namespace rehearse
