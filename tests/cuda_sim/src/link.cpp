#include "link.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <thread>
#include <utility>

namespace cudasim {
namespace {

/// A message's numbers as they are sent, and how many bytes follow.
using Numbers = std::array<std::uint64_t, 11>;

Numbers numbers_of(const Message& m) {
  const auto wide = [](std::int32_t x) { return static_cast<std::uint64_t>(static_cast<std::int64_t>(x)); };
  return {m.kind,     wide(m.rank), wide(m.ranks), wide(m.gpu), wide(m.what),  wide(m.type),
          wide(m.op), wide(m.root), m.call,        m.count,     m.bytes.size()};
}

Message message_of(const Numbers& n) {
  const auto narrow = [](std::uint64_t x) { return static_cast<std::int32_t>(static_cast<std::int64_t>(x)); };
  return {static_cast<std::uint32_t>(n[0]),
          narrow(n[1]),
          narrow(n[2]),
          narrow(n[3]),
          narrow(n[4]),
          narrow(n[5]),
          narrow(n[6]),
          narrow(n[7]),
          n[8],
          n[9],
          std::vector<char>(n[10])};
}

bool write_whole(int descriptor, const char* bytes, std::size_t count) {
  while (count > 0) {
    const ssize_t n = ::send(descriptor, bytes, count, MSG_NOSIGNAL);
    if (n <= 0) {
      return false;
    }
    bytes += n;
    count -= static_cast<std::size_t>(n);
  }
  return true;
}

bool read_whole(int descriptor, char* bytes, std::size_t count) {
  while (count > 0) {
    const ssize_t n = ::recv(descriptor, bytes, count, 0);
    if (n <= 0) {
      return false;
    }
    bytes += n;
    count -= static_cast<std::size_t>(n);
  }
  return true;
}

/// In the abstract namespace: no file is left behind.
std::pair<sockaddr_un, socklen_t> address_of(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy_n(name.begin(), std::min(name.size(), sizeof address.sun_path - 1), address.sun_path + 1);
  return {address, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())};
}

int new_socket() { return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); }

}  // namespace

Link::~Link() { ::close(descriptor_); }

void Link::start(std::function<void(const Message*)> received) {
  std::thread([link = shared_from_this(), received = std::move(received)] {
    for (Numbers numbers{}; read_whole(link->descriptor_, reinterpret_cast<char*>(numbers.data()), sizeof numbers);) {
      Message message = message_of(numbers);
      if (!read_whole(link->descriptor_, message.bytes.data(), message.bytes.size())) {
        break;
      }
      received(&message);
    }
    received(nullptr);
  }).detach();
  std::thread([link = shared_from_this()] { link->write_all(); }).detach();
}

void Link::send(Message message) {
  {
    const std::scoped_lock lock(mutex_);
    outgoing_.push_back(std::move(message));
  }
  changed_.notify_all();
}

void Link::close() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
}

void Link::flush(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, most, [this] { return outgoing_.empty() && !writing_; });
}

void Link::write_all() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closing_ || !outgoing_.empty(); });
    if (outgoing_.empty()) {
      break;
    }
    const Message message = std::move(outgoing_.front());
    outgoing_.pop_front();
    writing_ = true;
    lock.unlock();
    const Numbers numbers = numbers_of(message);
    const bool sent = write_whole(descriptor_, reinterpret_cast<const char*>(numbers.data()), sizeof numbers) &&
                      write_whole(descriptor_, message.bytes.data(), message.bytes.size());
    lock.lock();
    writing_ = false;
    closing_ = closing_ || !sent;
    if (!sent) {
      outgoing_.clear();
    }
    changed_.notify_all();
  }
  ::shutdown(descriptor_, SHUT_RDWR);
}

int listen_as(const std::string& name) {
  const int descriptor = new_socket();
  const auto [address, size] = address_of(name);
  if (descriptor >= 0 && ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
      ::listen(descriptor, SOMAXCONN) == 0) {
    return descriptor;
  }
  ::close(descriptor);
  return -1;
}

int connect_to(const std::string& name) {
  const int descriptor = new_socket();
  const auto [address, size] = address_of(name);
  if (descriptor >= 0 && ::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), size) == 0) {
    return descriptor;
  }
  ::close(descriptor);
  return -1;
}

int accept_from(int listener) { return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC); }

void stop_listening(int listener) { ::shutdown(listener, SHUT_RDWR); }

}  // namespace cudasim
