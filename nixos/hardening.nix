# What no unit of Watchtower may do; in alphabetical order. A unit takes this and adds what it needs, with the reason.
# systemd.exec(5), systemd.resource-control(5).
{
  AmbientCapabilities = "";
  CapabilityBoundingSet = "";
  DevicePolicy = "closed";
  # Everybody may write there, and ProtectSystem leaves /dev alone; so too with /dev/shm, below.
  InaccessiblePaths = "-/dev/mqueue";
  IPAddressDeny = "any";
  KeyringMode = "private";
  LockPersonality = true;
  MemoryDenyWriteExecute = true;
  NoNewPrivileges = true;
  NotifyAccess = "main";
  PrivateIPC = true;
  PrivateMounts = true;
  PrivateNetwork = true;
  PrivateTmp = "disconnected";
  PrivateUsers = true;
  ProcSubset = "pid";
  ProtectClock = true;
  ProtectControlGroups = true;
  ProtectHome = true;
  ProtectHostname = true;
  ProtectKernelLogs = true;
  ProtectKernelModules = true;
  ProtectKernelTunables = true;
  ProtectProc = "invisible";
  ProtectSystem = "strict";
  # systemd 257 leaves it writable in spite of ProtectSystem where the unit gets a /proc of its own; its RuntimeDirectory stays so.
  ReadOnlyPaths = "/run";
  RemoveIPC = true;
  # Unix sockets: systemd is told, nginx and the other services are spoken with.
  RestrictAddressFamilies = [ "AF_UNIX" ];
  RestrictNamespaces = true;
  RestrictRealtime = true;
  RestrictSUIDSGID = true;
  SystemCallArchitectures = "native";
  SystemCallErrorNumber = "EPERM";
  SystemCallFilter = [
    "@system-service"
    "~@privileged @resources"
  ];
  TemporaryFileSystem = "/dev/shm:mode=1777,nodev,noexec,nosuid";
  UMask = "0077";
}
