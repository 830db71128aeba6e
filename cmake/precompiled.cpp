// What the targets that carry precompiled headers are made of: CMake wants a source.
