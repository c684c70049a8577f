// Follows a long recording or a live stream and reports what it recognises as it happens, in bounded memory.
#pragma once

#include "data/decode.h"
#include "search/query.h"

namespace earmark::search {

/// Reads `stream` to its end. `begun` is called as soon as a stretch is recognised, `ended` when it is over.
/// Returns the seconds read.
double monitor(const Searcher& searcher, data::AudioStream& stream, const StretchFinder::Report& begun,
               const StretchFinder::Report& ended);

}  // namespace earmark::search
