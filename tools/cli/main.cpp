#include "tools/cli/command.hpp"

int main(int argc, char** argv) { return rehearse::run_command_line(argc, argv); }
