# The fleet proxy: the owner's main server, with every camera below a folder of its own, `/front/`, and a page of all of them.
#
# A module of its own: the main server need not be a camera. It shows each camera a certificate with OU=proxy, passes the user's
# own one on, and accepts only a camera whose certificate is the owner's and has the expected name.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkEnableOption mkOption types;
  cfg = config.services.watchtower-fleet;
  nginx = import ./nginx.nix { inherit lib; };
  inherit (nginx) file;
  owner = "watchtower-fleet";
  credential = nginx.credential owner;
  credentials = nginx.serverCredentials cfg // {
    "cameras-ca.pem" = cfg.cameraCa;
    "proxy.pem" = cfg.proxyCertificate;
    "proxy.key" = cfg.proxyCertificateKey;
  };

  camera = types.submodule (
    { name, ... }:
    {
      options = {
        address = mkOption {
          type = types.str;
          example = "192.168.1.31";
          description = "Where the camera is: an address, or a name that this machine knows when nginx starts.";
        };
        port = mkOption {
          type = types.port;
          default = 443;
          description = "The port of its gateway.";
        };
        serverName = mkOption {
          type = types.str;
          example = "front.example.org";
          description = "The name in its certificate: its gateway's `serverName`.";
        };
        label = mkOption {
          type = types.str;
          default = name;
          defaultText = lib.literalMD "the camera's name";
          description = "What the page of all cameras calls it.";
        };
        aliases = mkOption {
          type = types.listOf types.str;
          default = [ ];
          example = [ "camera0" ];
          description = "More folders that lead to it, such as those of Watchtower 1.x.";
        };
      };
    }
  );

  # Its gateway is reached as if it were called by its own name; what the user called it goes on beside.
  locations =
    name: camera: folder:
    nginx.locations {
      prefix = "/${folder}";
      upstream = "https://watchtower-${name}";
      headers = nginx.identity // {
        Host = camera.serverName;
        X-Client-Cert = ''""'';
        X-Forwarded-Client-Cert = "$ssl_client_escaped_cert";
        X-Forwarded-Host = "$http_host";
      };
      extra = ''
        proxy_ssl_name ${camera.serverName};
        proxy_ssl_server_name on;
        proxy_ssl_verify on;
        proxy_ssl_verify_depth 2;
        proxy_ssl_protocols TLSv1.2 TLSv1.3;
        proxy_ssl_trusted_certificate ${credential "cameras-ca.pem"};
        proxy_ssl_certificate ${credential "proxy.pem"};
        proxy_ssl_certificate_key ${credential "proxy.key"};
      '';
    }
    // {
      "= /${folder}".return = "301 /${folder}/";
    };

  page = pkgs.writeTextFile {
    name = "watchtower-fleet-page";
    destination = "/index.html";
    text = import ./fleet-page.nix {
      inherit lib;
      inherit (cfg) cameras title;
    };
  };
in
{
  options.services.watchtower-fleet = {
    enable = mkEnableOption "the proxy in front of all cameras";
    serverName = mkOption {
      type = types.str;
      example = "cameras.example.org";
      description = "The name that it is reached by. Other names are refused.";
    };
    port = mkOption {
      type = types.port;
      default = 443;
      description = "The port; there is none for plain HTTP.";
    };
    title = mkOption {
      type = types.str;
      default = "Cameras";
      description = "The title of the page of all cameras.";
    };
    cameras = mkOption {
      type = types.attrsOf camera;
      default = { };
      description = "The cameras by the folder that leads to each.";
    };
    certificate = file "/var/lib/watchtower-tls/server.pem" "The proxy's own certificate as a server, a path on this machine.";
    certificateKey = file "/var/lib/watchtower-tls/server.key" "Its key.";
    clientCa = file "/var/lib/watchtower-tls/clients-ca.pem" "The owner's CA: clients with a certificate of it are let in.";
    clientCrl = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/var/lib/watchtower-tls/clients-crl.pem";
      description = "The CA's revocation list. After a change: `systemctl restart nginx`.";
    };
    proxyCertificate = file "/var/lib/watchtower-tls/proxy.pem" "The certificate that it shows the cameras, with OU=proxy; `watchtower pki` makes it.";
    proxyCertificateKey = file "/var/lib/watchtower-tls/proxy.key" "Its key.";
    cameraCa = file "/var/lib/watchtower-tls/servers-ca.pem" "The CA that signed the cameras' certificates.";
    allow = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "Addresses and networks of clients; all if empty.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions =
      let
        folders = lib.concatLists (lib.mapAttrsToList (name: c: [ name ] ++ c.aliases) cfg.cameras);
      in
      [
        {
          assertion = cfg.cameras != { };
          message = "services.watchtower-fleet has no camera: declare services.watchtower-fleet.cameras.NAME with address and serverName.";
        }
        {
          assertion = lib.allUnique folders;
          message = "services.watchtower-fleet: a folder leads to two cameras (${toString folders}): change a name or an alias.";
        }
      ]
      ++ map (folder: {
        assertion = lib.match "[a-z0-9-]{1,32}" folder != null;
        message = "services.watchtower-fleet has the folder \"${folder}\": it has to be 1 to 32 of a-z, 0-9 and -.";
      }) folders
      ++ lib.mapAttrsToList (name: path: {
        assertion = nginx.isOutsideStore path;
        message = "services.watchtower-fleet: ${name} is ${path}; it has to be the path of a file on this machine, as text in quotation marks.";
      }) credentials;

    services.nginx = {
      enable = true;
      serverTokens = false;
      upstreams = lib.mapAttrs' (name: camera: {
        name = "watchtower-${name}";
        value = {
          servers."${camera.address}:${toString camera.port}" = { };
          extraConfig = "keepalive 8;";
        };
      }) cfg.cameras;
      virtualHosts = nginx.virtualHosts owner cfg {
        extraConfig = ''
          absolute_redirect off;
          access_log off;
        '';
        locations = lib.mkMerge (
          lib.concatLists (
            lib.mapAttrsToList (
              name: camera: map (locations name camera) ([ name ] ++ camera.aliases)
            ) cfg.cameras
          )
          ++ [
            {
              "/".return = "404";
              "= /" = {
                root = page;
                tryFiles = "/index.html =404";
                extraConfig = ''
                  add_header Content-Security-Policy "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'";
                  add_header X-Content-Type-Options nosniff;
                  add_header Cache-Control no-store;
                '';
              };
            }
          ]
        );
      };
    };

    networking.firewall.allowedTCPPorts = [ cfg.port ];

    systemd.services.nginx = nginx.service owner credentials;
  };
}
