// Has no code of its own: it gives CMake a source that the shared header is precompiled for.
