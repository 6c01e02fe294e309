// export HEXLINE_KEY_ID=__KEY_ID__ HEXLINE_KEY_SECRET=__KEY_SECRET__
// java Token.java
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import static java.nio.charset.StandardCharsets.UTF_8;

public class Token {
    static String base64url(byte[] data) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(data);
    }

    public static void main(String[] args) throws Exception {
        var url = "__URL__";
        var keyId = System.getenv("HEXLINE_KEY_ID");
        var keySecret = System.getenv("HEXLINE_KEY_SECRET");

        var now = System.currentTimeMillis() / 1000;
        var header = "{\"typ\":\"JWT\",\"alg\":\"HS__BITS__\"}";
        var claims = String.format(
            "{\"aud\":\"%s/client/v1\",\"sub\":\"alice/web1\",\"grants\":{\"signal\":true},"
                + "\"iss\":\"%s\",\"iat\":%d,\"exp\":%d}",
            url, keyId, now, now + __TTL__);
        var content = base64url(header.getBytes(UTF_8)) + "." + base64url(claims.getBytes(UTF_8));
        var mac = Mac.getInstance("HmacSHA__BITS__");
        mac.init(new SecretKeySpec(keySecret.getBytes(UTF_8), "HmacSHA__BITS__"));
        var token = content + "." + base64url(mac.doFinal(content.getBytes(UTF_8)));

        var request = HttpRequest.newBuilder(URI.create(url + "/client/v1/me"))
            .header("Authorization", "Bearer " + token)
            .build();
        var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.body());
    }
}
