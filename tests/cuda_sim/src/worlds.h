// How ranks find each other: threads of the process that made a unique id, and other processes of this machine, which
// come to it by the id's name and are told there what they get of each collective.
#pragma once

#include <nccl.h>

#include <memory>
#include <string>

#include "collective.h"

namespace cudasim {

/// A name for a world, at which other processes find this one from now on.
std::string new_world_name();

/// Rank `rank` of `ranks`, with the calling thread's GPU, joins the world of that name, which is formed when all have.
/// A rank that cannot is reported: then `status` says so.
std::shared_ptr<World> join_world(const std::string& name, int ranks, int rank, const void* caller,
                                  ncclResult_t& status);

/// Reports who has not joined: the world fails.
void give_up_joining(World& world, const void* caller);

/// A rank has no more to call. What it has queued is still done.
void leave_world(World& world);

}  // namespace cudasim
