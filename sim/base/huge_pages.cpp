#include "sim/base/huge_pages.hpp"

#include <sys/mman.h>

#include <cstdint>

namespace rehearse {

void prefer_huge_pages(void* memory, std::size_t bytes) {
  constexpr std::uintptr_t kPage = std::uintptr_t{2} << 20;
  const auto at = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t begin = (at + kPage - 1) / kPage * kPage;
  const std::uintptr_t end = (at + bytes) / kPage * kPage;
  if (begin < end) madvise(static_cast<char*>(memory) + (begin - at), end - begin, MADV_HUGEPAGE);
}

}  // namespace rehearse
