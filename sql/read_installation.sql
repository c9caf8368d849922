select id from grace.installation
