//! Whether an RSA modulus has the fingerprint of CVE-2017-15361 ("ROCA").
//!
//! Smart cards of one maker built their primes as k·M + 65537ᵃ mod M with a smooth M, so that the
//! private key follows from the public one. Modulo each small prime such a modulus is a power of
//! 65537; of honest moduli fewer than one in a hundred million is, modulo all of them.

pub(super) fn is_weak(modulus: &[u8]) -> bool {
    SMALL_PRIMES.into_iter().all(|prime| {
        let residue = modulus
            .iter()
            .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        is_power(residue, prime)
    })
}

/// Whether a residue is a power of 65537 modulo that prime.
fn is_power(residue: u32, prime: u32) -> bool {
    let mut power = 1;
    loop {
        if power == residue {
            return true;
        }
        power = power * (65_537 % prime) % prime;
        if power == 1 {
            return false;
        }
    }
}

const SMALL_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];
