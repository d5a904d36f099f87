-- Teams are listed by display name: all of them, or those that everybody may join.
CREATE INDEX teams_display_name ON teams (display_name, id);
CREATE INDEX teams_open ON teams (display_name, id) WHERE allow_open_invite AND type = 'O';
