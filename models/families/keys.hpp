#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sim/config/reader.hpp"

namespace rehearse {

// Hugging Face keys that change nothing here: initialisation, generation, rotary frequencies, ...
std::span<const std::string_view> unneeded_keys();
// Keys that say that the model has experts, and change what it costs.
std::span<const std::string_view> expert_keys();
// Keys that say that keys and values are compressed (DeepSeek's latent attention).
std::span<const std::string_view> latent_attention_keys();

// In a config.json a `null` means that the key is not given.
bool is_given(const Reader& reader, const std::string& key);
std::int64_t count_or(Reader& reader, const std::string& key, std::int64_t fallback);
std::int64_t size_or(Reader& reader, const std::string& key, std::int64_t fallback);  // 0 and more
bool flag_or(Reader& reader, const std::string& key, bool fallback);

}  // namespace rehearse
