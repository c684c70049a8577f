// What is in an index, for people and programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <ostream>

#include "search/index_store.h"
#include "search/report.h"

namespace earmark::search {

/// One line: number, length, path, and artist and title where they are known; as JSON all that the index knows.
void write_track(std::ostream& out, Form form, const Track& track);
/// How much is in it, how it was made, and its calibration where it has one.
nlohmann::ordered_json describe(const IndexStore& store);

}  // namespace earmark::search
