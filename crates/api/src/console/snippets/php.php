<?php
// export HEXLINE_KEY_ID=__KEY_ID__ HEXLINE_KEY_SECRET=__KEY_SECRET__
// php token.php
$url = '__URL__';
$keyId = getenv('HEXLINE_KEY_ID');
$keySecret = getenv('HEXLINE_KEY_SECRET');

function base64url(string $data): string
{
    return rtrim(strtr(base64_encode($data), '+/', '-_'), '=');
}

$now = time();
$header = ['typ' => 'JWT', 'alg' => 'HS__BITS__'];
$claims = [
    'aud' => "$url/client/v1",
    'sub' => 'alice/web1',
    'grants' => ['signal' => true],
    'iss' => $keyId,
    'iat' => $now,
    'exp' => $now + __TTL__,
];
$content = base64url(json_encode($header)) . '.' . base64url(json_encode($claims));
$token = $content . '.' . base64url(hash_hmac('sha__BITS__', $content, $keySecret, true));

$context = stream_context_create(['http' => ['header' => "Authorization: Bearer $token"]]);
echo file_get_contents("$url/client/v1/me", false, $context), "\n";
