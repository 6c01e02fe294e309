export HEXLINE_KEY_ID=__KEY_ID__
export HEXLINE_KEY_SECRET=__KEY_SECRET__

url=__URL__
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
now=$(date +%s)
header=$(printf '{"typ":"JWT","alg":"HS__BITS__"}' | base64url)
claims=$(printf '{"aud":"%s/client/v1","sub":"alice/web1","grants":{"signal":true},"iss":"%s","iat":%s,"exp":%s}' \
  "$url" "$HEXLINE_KEY_ID" "$now" "$((now + __TTL__))" | base64url)
signature=$(printf '%s.%s' "$header" "$claims" |
  openssl dgst -sha__BITS__ -hmac "$HEXLINE_KEY_SECRET" -binary | base64url)
curl -sS -H "Authorization: Bearer $header.$claims.$signature" "$url/client/v1/me"
