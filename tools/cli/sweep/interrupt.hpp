#pragma once

namespace rehearse {

// While it lives, the first SIGINT or SIGTERM is only remembered, so that what is under way can end
// cleanly; a second one ends the process.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // The signal that came, or 0.
  static int signal();
};

}  // namespace rehearse
