#include "worlds.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

#include "config.h"
#include "devices.h"
#include "patience.h"
#include "report.h"
#include "runtime_mutex.h"
#include "streams.h"

namespace cudasim {
namespace {

std::map<std::string, std::shared_ptr<World>> forming;  // worlds that ranks are joining, by their name
std::map<std::string, int> listeners;                   // by the names that were made here; -1: no more
std::uint64_t ids = 0;
std::uint64_t worlds = 0;

std::shared_ptr<World> new_world(int ranks) {
  return std::make_shared<World>(++worlds, static_cast<std::size_t>(ranks));
}

/// What keeps a rank from joining; empty if nothing does.
std::string reason_against(const World& world, int ranks, int rank, int device, int gpu) {
  if (ranks != world.size()) {
    return "expects " + std::to_string(ranks) + " ranks, others expect " + std::to_string(world.size());
  }
  if (rank < 0 || rank >= ranks || world.devices[static_cast<std::size_t>(rank)] != kNoDevice) {
    return "has joined already";
  }
  for (std::size_t other = 0; other < world.devices.size(); ++other) {
    if (world.gpus[other] == gpu) {
      return "uses GPU " + std::to_string(device == kElsewhere ? gpu : device) + ", which is that of rank " +
             std::to_string(other);
    }
  }
  return "";
}

/// Reported where that cannot be.
ncclResult_t admit(const std::string& name, const std::shared_ptr<World>& world, int ranks, int rank, int device,
                   int gpu, const std::shared_ptr<Link>& link, const void* caller) {
  if (const std::string why = reason_against(*world, ranks, rank, device, gpu); !why.empty()) {
    const std::string text = "ncclCommInitRank of " + world->name() + ": rank " + std::to_string(rank) + " " + why;
    report("rank-mismatch", text, caller);
    world->note_failure(ncclInvalidUsage);
    if (link != nullptr) {
      link->send({.kind = Message::refusal, .bytes = {text.begin(), text.end()}});
    }
    return ncclInvalidUsage;
  }
  const auto at = static_cast<std::size_t>(rank);
  world->devices[at] = device;
  world->gpus[at] = gpu;
  world->links[at] = link;
  if (link != nullptr) {
    run_work_at_once();
  }
  if (world->absent().empty()) {
    world->formed = true;
    forming.erase(name);
    stop_listening(std::exchange(listeners[name], -1));
    for (const std::shared_ptr<Link>& other : world->links) {
      if (other != nullptr) {
        other->send({.kind = Message::welcome});
      }
    }
  }
  note_progress();
  return world->error;
}

/// Another process's rank, as the process sees it that made the world.
struct Guest {
  std::shared_ptr<Link> link;
  std::weak_ptr<World> world;
  std::size_t rank = 0;
  bool left = false;
};

void hear(const std::string& name, Guest& guest, const Message* message) {
  const Lock lock(runtime_mutex());
  if (program_ends()) {
    return;
  }
  if (message != nullptr && message->kind == Message::hello) {
    std::shared_ptr<World>& world = forming[name];
    if (world == nullptr) {
      world = new_world(message->ranks);
    }
    const std::shared_ptr<World> kept = world;  // admitted, it may be forming no more
    guest.world = kept;
    guest.rank = static_cast<std::size_t>(message->rank);
    guest.left =
        admit(name, kept, message->ranks, message->rank, kElsewhere, message->gpu, guest.link, nullptr) != ncclSuccess;
    return;
  }
  const std::shared_ptr<World> world = guest.world.lock();
  if (world == nullptr) {
    return;
  }
  if (message != nullptr && message->kind == Message::part) {
    take_part(world, guest.rank, *message);
  }
  guest.left |= message != nullptr && message->kind == Message::leave;
  if (message == nullptr && !guest.left) {  // as NCCL notices: streams wait on
    world->note_failure(ncclRemoteError);
  }
  note_progress();
}

/// What the process that made the world says.
void obey(World& world, const Message* message) {
  if (message == nullptr) {
    if (!world.left && world.error == ncclSuccess) {
      world.note_failure(ncclRemoteError);
    }
  } else if (message->kind == Message::leave) {
    world.left = true;
  } else if (message->kind == Message::welcome) {
    world.formed = true;
  } else if (message->kind == Message::refusal) {
    report("rank-mismatch", {message->bytes.begin(), message->bytes.end()});
    world.error = ncclInvalidUsage;
  } else if (message->kind == Message::failure) {
    world.note_failure(static_cast<ncclResult_t>(message->what));
  } else if (message->kind == Message::result) {
    take_result(world, *message);
  }
  note_progress();
}

std::shared_ptr<World> join_elsewhere(const std::string& name, int ranks, int rank, ncclResult_t& status) {
  const int descriptor = connect_to(name);
  if (descriptor < 0) {  // the process that made the name is gone
    status = ncclRemoteError;
    return nullptr;
  }
  std::shared_ptr<World> world = new_world(ranks);
  std::ranges::fill(world->devices, kElsewhere);
  world->devices[static_cast<std::size_t>(rank)] = current_device;
  world->root = std::make_shared<Link>(descriptor);
  run_work_at_once();
  world->root->start([known = std::weak_ptr<World>(world)](const Message* message) {
    const Lock lock(runtime_mutex());
    if (const std::shared_ptr<World> there = program_ends() ? nullptr : known.lock()) {
      obey(*there, message);
    }
  });
  world->root->send(
      {.kind = Message::hello, .rank = rank, .ranks = ranks, .gpu = gpu_of_machine(current_device), .bytes = {}});
  status = ncclSuccess;
  return world;
}

}  // namespace

std::string new_world_name() {
  const std::string name = "cudasim " + std::to_string(::getpid()) + " " + std::to_string(++ids);
  const int listener = listen_as(name);
  listeners[name] = listener;
  std::thread([name, listener] {
    for (int descriptor = 0; (descriptor = accept_from(listener)) >= 0;) {
      const auto link = std::make_shared<Link>(descriptor);
      link->start(
          [name, guest = std::make_shared<Guest>(link)](const Message* message) { hear(name, *guest, message); });
    }
    ::close(listener);
  }).detach();
  return name;
}

std::shared_ptr<World> join_world(const std::string& name, int ranks, int rank, const void* caller,
                                  ncclResult_t& status) {
  if (!listeners.contains(name)) {
    return join_elsewhere(name, ranks, rank, status);
  }
  std::shared_ptr<World>& found = forming[name];
  if (found == nullptr) {
    found = new_world(ranks);
  }
  const std::shared_ptr<World> world = found;
  status = admit(name, world, ranks, rank, current_device, gpu_of_machine(current_device), nullptr, caller);
  return world;
}

void give_up_joining(World& world, const void* caller) {
  report("rank-missing", "ncclCommInitRank of " + world.name() + ": " + world.absent() + " never called it", caller);
  world.note_failure(ncclRemoteError);
}

void leave_world(World& world) {
  if (world.root != nullptr) {
    world.left = true;
    world.root->send({.kind = Message::leave});
  }
  for (const std::shared_ptr<Link>& link : world.links) {
    if (link != nullptr) {
      link->send({.kind = Message::leave});
    }
  }
}

}  // namespace cudasim
