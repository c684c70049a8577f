#include "kernels/gloo_communicator.h"

#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/store.h>
#include <gloo/transport/tcp/device.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <mutex>
#include <numeric>
#include <string_view>

#include "kernels/error.h"
#include "kernels/rank_failure.h"
#include "kernels/rank_sums.h"
#include "kernels/rendezvous.h"

namespace earmark {

namespace {

constexpr std::int64_t kFewBytes = 16384;                // then a second message costs more than the bytes it saves
constexpr std::uint64_t kAbandoned = ~std::uint64_t{0};  // a slot that nobody sends to

/// Where Gloo's ranks leave their addresses.
class RendezvousStore final : public gloo::rendezvous::Store {
 public:
  explicit RendezvousStore(Rendezvous& rendezvous) : rendezvous_(rendezvous) {}
  void set(const std::string& key, const std::vector<char>& data) override {
    rendezvous_.set(key, {data.begin(), data.end()});
  }
  std::vector<char> get(const std::string& key) override {
    const std::string value = rendezvous_.get(key);
    return {value.begin(), value.end()};
  }
  void wait(const std::vector<std::string>& keys) override {
    for (const std::string& key : keys) {
      rendezvous_.get(key);
    }
  }
  void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& /*timeout*/) override { wait(keys); }

 private:
  Rendezvous& rendezvous_;
};

void combine(DType dtype, const std::vector<std::vector<std::byte>>& parts, Combine how, std::span<std::byte> out) {
  std::vector<const std::byte*> bytes;
  std::ranges::transform(parts, std::back_inserter(bytes), [](const auto& part) { return part.data(); });
  combine_ranks(dtype, bytes, how, out);
}

}  // namespace

struct GlooCommunicator::Mesh {
  std::chrono::milliseconds timeout;
  std::shared_ptr<gloo::rendezvous::Context> context;
  std::atomic<std::uint64_t> channels{0};
  FirstFailure failure;
  std::mutex abandoning;
  std::atomic<bool> abandoned = false;     // by this rank
  std::unique_ptr<Rendezvous> rendezvous;  // rank 0's: tells who comes later that the group is complete

  int rank() const { return context->rank; }
  int size() const { return context->size; }

  /// Waits for one parcel that comes from `other`, or goes to it.
  void wait(gloo::transport::UnboundBuffer& buffer, bool receives, int other, Deadline deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const std::chrono::milliseconds time = std::max(left, std::chrono::milliseconds(1));
    try {
      receives ? buffer.waitRecv(nullptr, time) : buffer.waitSend(nullptr, time);
    } catch (const std::exception& error) {
      explain(other, std::chrono::steady_clock::now() >= deadline, error);
    }
  }

  [[noreturn]] void explain(int other, bool late, const std::exception& error) {
    // A thread that has waited in vain closes the connection for all: what others see of that is the same cause.
    const bool closed_late = !abandoned && std::string_view(error.what()).find("timeout") != std::string_view::npos;
    failure.tell(late || closed_late ? silent_rank(other, rank(), size(), timeout)
                                     : gone_rank(other, rank(), size(), error.what()));
  }

  // Gloo tells all that wait in this process about a timeout, and closes their connections: so one is made.
  void abandon() {
    const std::scoped_lock lock(abandoning);
    abandoned = true;
    std::byte nothing{};
    for (int other = 0; other < size(); ++other) {
      if (other != rank()) {
        try {
          const auto buffer = context->createUnboundBuffer(&nothing, 1);
          buffer->recv(other, kAbandoned, 0, 1);
          buffer->waitRecv(nullptr, std::chrono::milliseconds(1));
        } catch (const std::exception&) {  // as it should be
        }
      }
    }
  }
};

GlooCommunicator::GlooCommunicator(const Rank& rank, std::chrono::milliseconds timeout)
    : mesh_(std::make_shared<Mesh>()), channel_(mesh_->channels++) {
  std::signal(SIGPIPE, SIG_IGN);
  auto rendezvous = std::make_unique<Rendezvous>(rank, timeout);
  mesh_->timeout = timeout;
  try {
    gloo::transport::tcp::attr place(rendezvous->address().c_str());
    std::shared_ptr<gloo::transport::Device> device = gloo::transport::tcp::CreateDevice(place);
    mesh_->context = std::make_shared<gloo::rendezvous::Context>(rank.rank, rank.size);
    mesh_->context->setTimeout(timeout);
    RendezvousStore store(*rendezvous);
    mesh_->context->connectFullMesh(store, device);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    fail("rank ", rank.rank, " of ", rank.size, ", reached at ", rendezvous->address(),
         ", and the others could not connect: ", error.what());
  }
  barrier();  // from here on nobody needs rank 0's table
  if (rank.rank == 0) {
    mesh_->rendezvous = std::move(rendezvous);
  }
}

GlooCommunicator::GlooCommunicator(std::shared_ptr<Mesh> mesh) : mesh_(std::move(mesh)), channel_(mesh_->channels++) {}

GlooCommunicator::~GlooCommunicator() = default;

int GlooCommunicator::rank() const { return mesh_->rank(); }
int GlooCommunicator::size() const { return mesh_->size(); }
std::chrono::milliseconds GlooCommunicator::timeout() const { return mesh_->timeout; }
void GlooCommunicator::abandon() { mesh_->abandon(); }
std::shared_ptr<Communicator> GlooCommunicator::another() {
  return std::shared_ptr<Communicator>(new GlooCommunicator(mesh_));
}

void GlooCommunicator::exchange(std::span<const Parcel> sent, std::span<const Parcel> received) {
  const Deadline deadline = std::chrono::steady_clock::now() + mesh_->timeout;
  const std::uint64_t slot = channel_ << 40U | calls_++;
  using Buffer = std::unique_ptr<gloo::transport::UnboundBuffer>;
  std::vector<std::pair<Buffer, int>> coming;
  std::vector<std::pair<Buffer, int>> going;
  const auto begin = [&](const Parcel& parcel, bool receives) {
    if (parcel.bytes.empty()) {
      return;
    }
    auto& buffers = receives ? coming : going;
    buffers.emplace_back(mesh_->context->createUnboundBuffer(parcel.bytes.data(), parcel.bytes.size()), parcel.rank);
    gloo::transport::UnboundBuffer& buffer = *buffers.back().first;
    try {
      receives ? buffer.recv(parcel.rank, slot) : buffer.send(parcel.rank, slot);
    } catch (const std::exception& error) {
      mesh_->explain(parcel.rank, false, error);
    }
  };
  try {
    std::ranges::for_each(received, [&](const Parcel& parcel) { begin(parcel, true); });
    std::ranges::for_each(sent, [&](const Parcel& parcel) { begin(parcel, false); });
    std::ranges::for_each(coming, [&](const auto& part) { mesh_->wait(*part.first, true, part.second, deadline); });
    std::ranges::for_each(going, [&](const auto& part) { mesh_->wait(*part.first, false, part.second, deadline); });
  } catch (const Error&) {
    mesh_->abandon();
    throw;
  }
}

std::vector<std::vector<std::byte>> GlooCommunicator::collect(std::span<const Parcel> sent,
                                                              std::span<const std::byte> own) {
  std::vector<std::vector<std::byte>> parts(static_cast<std::size_t>(size()), std::vector<std::byte>(own.size()));
  std::vector<Parcel> received;
  for (int other = 0; other < size(); ++other) {
    std::vector<std::byte>& part = parts[static_cast<std::size_t>(other)];
    if (other == rank()) {
      std::ranges::copy(own, part.begin());
    } else {
      received.push_back({other, part});
    }
  }
  exchange(sent, received);
  return parts;
}

void GlooCommunicator::reduce(const Tensor& packed, Combine how) {
  const std::span<std::byte> all = host_bytes(packed);
  const std::int64_t count = packed.numel();
  const bool few = packed.bytes() <= kFewBytes;
  const auto share = [&](int of) {  // of the elements that rank `of` adds up
    const auto at = [&](std::int64_t r) {
      return static_cast<std::size_t>(count * r / size()) * size_of(packed.dtype());
    };
    return few ? all : all.subspan(at(of), at(of + 1) - at(of));
  };
  std::vector<Parcel> sent;
  for (int other = 0; other < size(); ++other) {
    if (other != rank()) {
      sent.push_back({other, share(other)});
    }
  }
  const std::span<std::byte> own = share(rank());
  combine(packed.dtype(), collect(sent, own), how, own);
  if (!few) {
    std::vector<Parcel> received = sent;
    std::ranges::for_each(sent, [&](Parcel& parcel) { parcel.bytes = own; });
    exchange(sent, received);
  }
}

void GlooCommunicator::all_reduce(std::span<const Tensor> tensors, Combine how) {
  check_combine(how, size());
  if (tensors.empty()) {
    return;
  }
  const DType dtype = tensors.front().dtype();
  std::ranges::for_each(tensors, [&](const Tensor& t) { check_summable(t, dtype); });
  if (tensors.size() == 1) {
    return reduce(tensors.front(), how);
  }
  const std::int64_t count = std::accumulate(tensors.begin(), tensors.end(), std::int64_t{0},
                                             [](std::int64_t sum, const Tensor& t) { return sum + t.numel(); });
  const Tensor packed({count}, dtype);
  std::byte* at = packed.raw();
  for (const Tensor& t : tensors) {
    at = std::ranges::copy(host_bytes(t), at).out;
  }
  reduce(packed, how);
  at = packed.raw();
  for (const Tensor& t : tensors) {
    std::copy_n(at, t.bytes(), t.raw());
    at += t.bytes();
  }
}

void GlooCommunicator::all_gather(const Tensor& part, const Tensor& whole) {
  check_part(part, whole, size());
  const std::span<std::byte> own = host_bytes(part);
  const std::span<std::byte> all = host_bytes(whole);
  std::vector<Parcel> sent;
  std::vector<Parcel> received;
  for (int other = 0; other < size(); ++other) {
    const std::span<std::byte> place = all.subspan(static_cast<std::size_t>(other) * own.size(), own.size());
    if (other == rank()) {
      std::ranges::copy(own, place.begin());
    } else {
      sent.push_back({other, own});
      received.push_back({other, place});
    }
  }
  exchange(sent, received);
}

void GlooCommunicator::reduce_scatter(const Tensor& whole, const Tensor& part, Combine how) {
  check_part(part, whole, size());
  check_summable(whole, part.dtype());
  check_combine(how, size());
  const std::span<std::byte> all = host_bytes(whole);
  const std::span<std::byte> own = host_bytes(part);
  const auto share = [&](int of) { return all.subspan(static_cast<std::size_t>(of) * own.size(), own.size()); };
  std::vector<Parcel> sent;
  for (int other = 0; other < size(); ++other) {
    if (other != rank()) {
      sent.push_back({other, share(other)});
    }
  }
  combine(part.dtype(), collect(sent, share(rank())), how, own);
}

void GlooCommunicator::broadcast(const Tensor& t, int root) {
  check(root >= 0 && root < size(), "rank ", root, " of ", size());
  const std::span<std::byte> bytes = host_bytes(t);
  if (rank() != root) {
    const Parcel parcel{root, bytes};
    return exchange({}, {&parcel, 1});
  }
  std::vector<Parcel> sent;
  for (int other = 0; other < size(); ++other) {
    if (other != root) {
      sent.push_back({other, bytes});
    }
  }
  exchange(sent, {});
}

void GlooCommunicator::barrier() {
  const Tensor nothing = Tensor::zeros({1});
  all_reduce({&nothing, 1}, Combine::sum);
}

}  // namespace earmark
