// What ranks that index or search together tell each other: JSON of any size, whose strings may hold any bytes.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/communicator.h"

namespace earmark::search {

/// Every rank's, in the order of the ranks, at all of them; all call it together.
std::vector<nlohmann::json> gathered(Communicator& ranks, const nlohmann::json& own);

/// Throws Error, at every rank that differs, where `own` is not what rank 0 has; `what` says what it is.
void check_same(Communicator& ranks, const std::string& own, const std::string& what);

}  // namespace earmark::search
