// Messages between the processes of simulated ranks, over a socket of this machine.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace cudasim {

/// What a message says; which of its numbers mean something depends on that.
struct Message {
  enum Kind : std::uint32_t {
    hello,    ///< A process's rank wants to join: rank, ranks, gpu.
    welcome,  ///< All have joined.
    refusal,  ///< It cannot join: the bytes say why.
    part,     ///< What it brings to a collective: call, what, type, op, root, count, bytes.
    result,   ///< What it gets of it: call, bytes.
    failure,  ///< Nothing is done from now on: `what` is the error.
    leave     ///< It has gone in order.
  };
  std::uint32_t kind = leave;
  std::int32_t rank = 0;
  std::int32_t ranks = 0;
  std::int32_t gpu = 0;
  std::int32_t what = 0;
  std::int32_t type = 0;
  std::int32_t op = 0;
  std::int32_t root = 0;
  std::uint64_t call = 0;
  std::uint64_t count = 0;
  std::vector<char> bytes{};
};

/// A connection. Nothing waits for the other side but the connection's own threads.
class Link : public std::enable_shared_from_this<Link> {
 public:
  explicit Link(int descriptor) : descriptor_(descriptor) {}
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// From now on `received` is called, by a thread, with each message, and with null when the other side is gone.
  void start(std::function<void(const Message*)> received);
  void send(Message message);
  /// Waits until all that was sent is on its way, but no longer than that.
  void flush(std::chrono::milliseconds most);
  /// Ends the connection when all that was sent is on its way.
  void close();

 private:
  void write_all();

  int descriptor_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Message> outgoing_;
  bool writing_ = false;
  bool closing_ = false;
};

/// Where processes of this machine find the one that made `name`: a descriptor, negative where that is not possible.
int listen_as(const std::string& name);
int connect_to(const std::string& name);
int accept_from(int listener);
/// Lets a thread go that waits in accept_from().
void stop_listening(int listener);

}  // namespace cudasim
