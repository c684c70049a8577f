#include "search/index_description.h"

#include <nlohmann/json.hpp>
#include <string>

#include "data/audio_files.h"
#include "search/landmarks.h"

namespace earmark::search {

void write_track(std::ostream& out, Form form, const Track& track) {
  if (form == Form::json) {
    out << "{\"id\": " << track.id << ", \"path\": " << json_string(track.path)
        << ", \"folder\": " << json_string(track.folder) << ", \"duration_s\": " << track.duration_s
        << ", \"title\": " << json_string(track.title) << ", \"artist\": " << json_string(track.artist)
        << ", \"content_hash\": \"" << track.content_hash << "\", \"first_row\": " << track.first_row
        << ", \"rows\": " << track.rows << "}\n";
    return;
  }
  out << track.id << '\t' << format_time(track.duration_s) << '\t' << data::printable(track.path);
  if (!track.title.empty() || !track.artist.empty()) {
    out << '\t' << data::printable(track.artist) << " - " << data::printable(track.title);
  }
  out << '\n';
}

nlohmann::ordered_json describe(const IndexStore& store) {
  double seconds = 0;
  for (const Track& track : store.tracks()) {
    seconds += track.duration_s;
  }
  const IndexFormat& format = store.format();
  nlohmann::ordered_json json = {{"tracks", store.tracks().size()},
                                 {"audio_s", seconds},
                                 {format.landmarks ? "landmarks" : "fingerprints", store.database().rows()},
                                 {"dimension", format.dimension},
                                 {"hop_s", format.hop_seconds()},
                                 {"segment_s", format.segment_seconds()},
                                 {"precision", std::string(name_of(format.precision))},
                                 {"segment_files", store.database().blocks().size()},
                                 {"segment_bytes", store.segment_bytes()}};
  if (format.landmarks) {
    json["precision"] = "landmarks";
    json["options"] = to_text(*format.landmarks);
  } else {
    json["model_hash"] = format.model_hash;
  }
  if (store.calibration()) {
    json["calibration"] = nlohmann::ordered_json::parse(to_json(*store.calibration()));
  }
  return json;
}

}  // namespace earmark::search
