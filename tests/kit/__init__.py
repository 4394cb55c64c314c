"""What tests are made with: servers, people, programs, terminals, databases, watches."""
