pub struct Io;
