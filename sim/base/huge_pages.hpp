#pragma once

#include <cstddef>
#include <vector>

namespace rehearse {

// Asks for pages of 2 MiB under memory that is not touched yet: an array of many megabytes then
// costs few page faults, and walking it in many places at once few TLB misses. A hint, of which
// nothing but speed depends; memory of a few pages is left alone.
void prefer_huge_pages(void* memory, std::size_t bytes);

// As the member functions, on huge pages where it is large.
template <class T>
void reserve_large(std::vector<T>& v, std::size_t size) {
  v.reserve(size);
  prefer_huge_pages(v.data(), v.capacity() * sizeof(T));
}
template <class T>
void resize_large(std::vector<T>& v, std::size_t size) {
  reserve_large(v, size);
  v.resize(size);
}

}  // namespace rehearse
