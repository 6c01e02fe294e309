# export HEXLINE_KEY_ID=__KEY_ID__ HEXLINE_KEY_SECRET=__KEY_SECRET__
# python3 token.py
import base64, hashlib, hmac, json, os, time
from urllib.request import Request, urlopen

url = "__URL__"
key_id = os.environ["HEXLINE_KEY_ID"]
key_secret = os.environ["HEXLINE_KEY_SECRET"]


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


now = int(time.time())
header = {"typ": "JWT", "alg": "HS__BITS__"}
claims = {
    "aud": url + "/client/v1",
    "sub": "alice/web1",
    "grants": {"signal": True},
    "iss": key_id,
    "iat": now,
    "exp": now + __TTL__,
}
content = b".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
signature = hmac.new(key_secret.encode(), content, hashlib.sha__BITS__).digest()
token = (content + b"." + base64url(signature)).decode()

request = Request(url + "/client/v1/me", headers={"Authorization": "Bearer " + token})
print(urlopen(request).read().decode())
