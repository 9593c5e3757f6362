# What the gateway and the fleet proxy share: a server with TLS for clients with a certificate, the paths that are passed on, and with which headers.
#
# nginx inherits `proxy_set_header` into a location only if that location has none of its own. So every location is made by
# `locations`, with all of them, and none can be without.
{ lib }:
let
  camera = "(?:/cameras/[a-z0-9-]{1,32})?";
  word = "[A-Za-z0-9._-]{1,64}";
  alternatives = lib.concatStringsSep "|";

  # ancillary/docs/api.md, below a camera's prefix: what answers at once, and what goes on as long as somebody looks.
  answers = alternatives [
    "/"
    "/[a-z0-9-]{1,32}\\.(?:css|html|ico|js|json|png|svg|webmanifest)"
    "/api/(?:cameras|config|config/schema|identity|motion|openapi\\.json|record|snapshot\\.jpg|start|status|stop)"
    "/api/recordings(?:/${word}){0,2}"
    "/api/recordings/${word}/${word}/(?:recording|thumb\\.jpg|trigger|video|video\\.mp4)"
    "/cameras/[a-z0-9-]{1,32}"
    "/healthz"
    "/metrics"
  ];
  streams = alternatives [
    "/mjpeg"
    "/live\\.mp4"
    "/api/events"
  ];

  # nginx's own word on TLS, for clients of the last years.
  tls = ''
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305;
    ssl_prefer_server_ciphers off;
    # A session that is taken up again is not checked against the revocation list: each is a new one.
    ssl_session_cache off;
    ssl_session_tickets off;
  '';

  # Client certificates of the owner's CA, without exception; `crl` may be null.
  clients = ca: crl: ''
    ssl_verify_client on;
    ssl_verify_depth 2;
    ssl_client_certificate ${ca};
    ${lib.optionalString (crl != null) "ssl_crl ${crl};"}
  '';

  # Nobody holds a connection by being slow, and nothing large comes in.
  bounds = ''
    client_header_timeout 15s;
    client_body_timeout 15s;
    client_max_body_size 64k;
    keepalive_timeout 65s;
    send_timeout 60s;
  '';

  # Only these addresses; all if empty.
  allow =
    addresses:
    lib.optionalString (addresses != [ ]) (
      lib.concatMapStrings (address: "allow ${address};\n") addresses + "deny all;\n"
    );
in
rec {
  # A file on the machine that runs nginx; only its path is in the store.
  file =
    example: description:
    lib.mkOption {
      type = lib.types.str;
      inherit example description;
    };
  isOutsideStore = path: lib.hasPrefix "/" path && !lib.hasPrefix builtins.storeDir path;

  # systemd reads such files as root and shows them to nginx alone, under these names.
  credential = owner: name: "/run/credentials/nginx.service/${owner}-${name}";
  service = owner: credentials: {
    # Certificates have dates: a Pi that boots in 1970 would refuse everybody.
    after = [ "time-set.target" ];
    wants = [ "time-set.target" ];
    # The only way in: never given up, and back as soon as the services behind it.
    startLimitIntervalSec = lib.mkForce 0;
    serviceConfig = {
      RestartSec = lib.mkForce 2;
      LoadCredential = lib.mapAttrsToList (name: path: "${owner}-${name}:${path}") credentials;
    };
  };
  serverCredentials =
    cfg:
    {
      "server.pem" = cfg.certificate;
      "server.key" = cfg.certificateKey;
      "clients-ca.pem" = cfg.clientCa;
    }
    // lib.optionalAttrs (cfg.clientCrl != null) { "clients-crl.pem" = cfg.clientCrl; };

  # One name on `cfg.port`, for clients with a certificate. With any other name, or none, the handshake is refused.
  virtualHosts =
    owner: cfg: server:
    let
      listen =
        map
          (addr: {
            inherit addr;
            inherit (cfg) port;
            ssl = true;
          })
          [
            "0.0.0.0"
            "[::]"
          ];
    in
    {
      "_" = {
        default = true;
        rejectSSL = true;
        inherit listen;
        extraConfig = bounds;
      };
      ${cfg.serverName} = server // {
        inherit listen;
        onlySSL = true;
        sslCertificate = credential owner "server.pem";
        sslCertificateKey = credential owner "server.key";
        extraConfig =
          tls
          + clients (credential owner "clients-ca.pem") (
            if cfg.clientCrl == null then null else credential owner "clients-crl.pem"
          )
          + bounds
          + allow cfg.allow
          + server.extraConfig or "";
      };
    };

  # The locations below `prefix` that go to `upstream`, each with `headers`; what is in no location is not there.
  locations =
    {
      prefix ? "",
      upstream,
      headers,
      extra ? "",
    }:
    let
      common = ''
        ${lib.optionalString (prefix != "") "rewrite ^${prefix}(/.*)$ $1 break;"}
        proxy_http_version 1.1;
        proxy_buffering off;
        proxy_request_buffering off;
        proxy_redirect off;
        ${lib.concatStrings (
          lib.mapAttrsToList (name: value: "proxy_set_header ${name} ${value};\n") headers
        )}
      ''
      + extra;
    in
    {
      "~ \"^${prefix}${camera}(?:${answers})$\"" = {
        proxyPass = upstream;
        extraConfig = common;
      };
      "~ \"^${prefix}${camera}(?:${streams})$\"" = {
        proxyPass = upstream;
        # A camera without anything to tell says at least that it is there.
        extraConfig = common + ''
          proxy_read_timeout 1h;
        '';
      };
    };

  # Who asks, and for which host. What a client sends under these names never arrives: each is set or, empty, taken out.
  identity = {
    Connection = ''""'';
    Forwarded = ''""'';
    Host = "$host";
    X-Client-Cert = "$ssl_client_escaped_cert";
    X-Forwarded-For = "$remote_addr";
    X-Forwarded-Proto = "https";
  };
}
