// Memory that processes of one machine share, and how they wait for each other in it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace earmark {

class SharedMemory {
 public:
  /// Maps `bytes` bytes that all who give `name` share; zeros, until someone writes. `name` has no slash. Throws Error
  /// where the system has no room for them.
  SharedMemory(const std::string& name, std::size_t bytes);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  /// Nobody else comes: the system takes the memory back when the last process that has it has ended. Also said by the
  /// destructor: whoever ends before all have come, since one of them failed, leaves no file behind.
  void complete();
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::string name_;
  bool completed_ = false;
  std::span<std::byte> bytes_;
};

/// A text that processes have in common where they can share memory and see each other end: of this start of the
/// machine and of the process' namespaces (containers), the network's too: what is not one host is not treated as one.
std::string machine_identity();

/// Sleeps while shared `word` is `value`, until someone wakes it, or for `time`; it may wake for nothing.
void sleep_while(const std::atomic<std::uint32_t>& word, std::uint32_t value, std::chrono::milliseconds time);
/// Wakes all, of any process, that sleep for it. After a change.
void wake_sleepers(const std::atomic<std::uint32_t>& word);

/// Another process of this machine (or this one), that is there when it is made.
class OtherProcess {
 public:
  /// Throws Error where the system does not tell.
  explicit OtherProcess(std::int64_t id);
  ~OtherProcess();
  OtherProcess(OtherProcess&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  OtherProcess& operator=(OtherProcess&&) = delete;
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  bool ended() const;

 private:
  int descriptor_;
};

}  // namespace earmark
