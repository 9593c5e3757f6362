# The gateway: nginx on 443 in front of the camera's daemon. A client without a certificate of the owner's gets nowhere.
#
# Stands alone as well, in front of a daemon that is declared elsewhere: then set `upstream`.
{
  config,
  lib,
  ...
}:
let
  inherit (lib) mkEnableOption mkOption types;
  cfg = config.services.watchtower.gateway;
  nginx = import ./nginx.nix { inherit lib; };
  inherit (nginx) file;
  owner = "watchtower";
in
{
  options.services.watchtower.gateway = {
    enable = mkEnableOption "nginx with client certificates in front of the cameras";
    serverName = mkOption {
      type = types.str;
      example = "front.example.org";
      description = "The name that the cameras are reached by; it stands in the server's certificate. Other names are refused.";
    };
    serverAliases = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "More names of the same certificate.";
    };
    port = mkOption {
      type = types.port;
      default = 443;
      description = "The port; there is none for plain HTTP.";
    };
    upstream = mkOption {
      type = types.str;
      default = "http://unix:/run/watchtower/http.sock";
      description = "The daemon, as for nginx's `proxy_pass`. It trusts what comes from there: a Unix socket that only nginx may open.";
    };
    certificate = file "/var/lib/watchtower-tls/server.pem" "The server's certificate, a path on the camera; `watchtower pki` makes it.";
    certificateKey = file "/var/lib/watchtower-tls/server.key" "Its key, which root alone need read.";
    clientCa = file "/var/lib/watchtower-tls/clients-ca.pem" "The owner's CA: clients with a certificate of it are let in.";
    clientCrl = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/var/lib/watchtower-tls/clients-crl.pem";
      description = "The CA's revocation list, which the images for the Raspberry Pi set. Once set it has to be there: without it nginx fails to start. After a change: `systemctl restart nginx`.";
    };
    allow = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "192.168.1.10" ];
      description = "Addresses and networks of clients, such as the fleet proxy's; all if empty.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions =
      map
        (option: {
          assertion = nginx.isOutsideStore cfg.${option};
          message = "services.watchtower.gateway.${option} is ${cfg.${option}}: it has to be the path of a file on the camera, as text in quotation marks.";
        })
        (
          [
            "certificate"
            "certificateKey"
            "clientCa"
          ]
          ++ lib.optional (cfg.clientCrl != null) "clientCrl"
        );

    services.nginx = {
      enable = true;
      serverTokens = false;
      # A proxy of the owner's, with OU=proxy in its certificate, speaks for its users: it alone may say who asks, and what
      # the host is called outside.
      appendHttpConfig = ''
        access_log off;
        map $ssl_client_s_dn $watchtower_peer {
          default client;
          "~(?:^|[^\\\\],|\+)OU=proxy(?:$|,|\+)" proxy;
        }
        map $watchtower_peer $watchtower_user {
          default "";
          proxy $http_x_forwarded_client_cert;
        }
        map $watchtower_peer:$http_x_forwarded_host $watchtower_host {
          default $http_host;
          "~^proxy:(?<watchtower_outside>[A-Za-z0-9.:\[\]-]+)$" $watchtower_outside;
        }
      '';
      virtualHosts = nginx.virtualHosts owner cfg {
        inherit (cfg) serverAliases;
        locations =
          nginx.locations {
            inherit (cfg) upstream;
            headers = nginx.identity // {
              X-Forwarded-Client-Cert = "$watchtower_user";
              X-Forwarded-Host = "$watchtower_host";
            };
          }
          // {
            "/".return = "404";
          };
      };
    };

    systemd.services.nginx = nginx.service owner (nginx.serverCredentials cfg) // {
      # Until the certificates have been brought, there is nothing to serve. A revocation list that is missing is not passed over
      # like that: the unit fails for want of its credential, and says so.
      unitConfig.ConditionPathExists = [
        cfg.certificate
        cfg.certificateKey
        cfg.clientCa
      ];
    };
  };
}
