// What is wrong, with the place in the program: collected for take_reports().
#pragma once

#include <string>

namespace cudasim {

/// Notes `text` with its source line, block, thread and kernel, unless the same kind was reported from there before.
/// `pc` is a return address, or null where there is no line to name.
void report(const char* kind, const std::string& text, const void* pc = nullptr);

/// The same from inside a kernel, which cannot go on: ends the launch.
[[noreturn]] void fail_kernel(const char* kind, const std::string& text, const void* pc);

/// For what leaves nothing to go on with: prints and ends the program.
[[noreturn]] void die(const std::string& text);

/// While one lives, the simulator works on behalf of a kernel, and its own accesses are not the kernel's. Needed where
/// it makes text: a program's files share the library's inline functions, and may have compiled them for checking.
class SimulatorsOwn {
 public:
  SimulatorsOwn() : before_(active) { active = true; }
  ~SimulatorsOwn() { active = before_; }
  SimulatorsOwn(const SimulatorsOwn&) = delete;
  SimulatorsOwn& operator=(const SimulatorsOwn&) = delete;

  static constinit thread_local bool active;

 private:
  bool before_;
};

inline constexpr int kExitAfterHostAccess = 86;  ///< Host code touched device memory: the program ends with this.

}  // namespace cudasim
