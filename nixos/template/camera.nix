{
  # Instead of host_name in watchtower-setup.txt, which is not used once this is set.
  # networking.hostName = "front";
  time.timeZone = "Europe/Berlin";

  # Who may log in: the public half of your SSH key.
  users.users.root.openssh.authorizedKeys.keys = [
    # "ssh-ed25519 AAAA… you@home"
  ];

  services.watchtower = {
    cameras.front = {
      label = "Front door";
      # The first camera on USB. With several, by a name from `watchtower probe`.
      source = "v4l2:/dev/watchtower/usb";
      size = "1280x720";
      fps = 15;
    };

    # What the camera is called by browsers; the same name as in its certificate.
    gateway.serverName = "front.example.org";

    # The board of ancillary/hardware: light, light sensor, servo, fan. Turn off what there is not.
    serial.enable = false;
    fan.enable = false;
  };
}
