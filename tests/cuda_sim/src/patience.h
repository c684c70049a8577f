// Threads that wait for what others have yet to do, and when they give up.
#pragma once

namespace cudasim {

/// Lets other threads go on until one has queued, run or noted something. False when none has for Config::patience.
bool wait_for_other_threads();

/// The same for a moment at most, by a thread that nobody waits for: it loses no patience.
void wait_for_news();

/// Something has happened that a waiting thread may have waited for.
void note_progress();

/// For whoever asks instead of waiting: whether nothing has happened for so long.
bool out_of_patience();

}  // namespace cudasim
