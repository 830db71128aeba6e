// The low-level calls on purpose: EVP looks for providers, which reads configuration files and the environment.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "kv/password_hash.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

#include "runtime/base/check.h"

namespace orrery::kv {

Bytes password_hash(ByteView password) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256_CTX context;
    CHECK(SHA256_Init(&context) == 1);
    CHECK(SHA256_Update(&context, password.data(), password.size()) == 1);
    CHECK(SHA256_Final(digest, &context) == 1);
    static constexpr char kDigits[] = "0123456789abcdef";
    Bytes out;
    for (unsigned char byte : digest) {
        out.push_back(kDigits[byte >> 4]);
        out.push_back(kDigits[byte & 15]);
    }
    return out;
}

bool is_password_hash(ByteView text) {
    return text.size() == 2 * SHA256_DIGEST_LENGTH &&
           std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool same_password_hash(ByteView a, ByteView b) {
    CHECK(a.size() == b.size(), a.size(), b.size());
    return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace orrery::kv
