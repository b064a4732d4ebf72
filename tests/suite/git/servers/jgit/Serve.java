import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jgit.http.server.GitServlet;
import org.eclipse.jgit.transport.ReceiveCommand;
import org.eclipse.jgit.transport.ReceivePack;

/** Serves the repositories in a folder with JGit: Serve FOLDER PORT. */
class Serve {
    public static void main(String[] arguments) throws Exception {
        var servlet = new GitServlet();
        servlet.setReceivePackFactory((request, repository) -> {
            var receive = new ReceivePack(repository);
            receive.setPreReceiveHook(Serve::refuse);
            return receive;
        });
        var holder = new ServletHolder(servlet);
        holder.setInitParameter("base-path", arguments[0]);
        holder.setInitParameter("export-all", "true");
        var context = new ServletContextHandler("/");
        context.addServlet(holder, "/*");
        var server = new Server();
        var connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(arguments[1]));
        server.addConnector(connector);
        server.setHandler(context);
        server.start();
        server.join();
    }

    /** Turns pushes down while a file `reject` is in the repository, and says what it holds. */
    private static void refuse(ReceivePack receive, Collection<ReceiveCommand> commands) {
        Path reject = receive.getRepository().getDirectory().toPath().resolve("reject");
        if (!Files.exists(reject)) {
            return;
        }
        try {
            receive.sendMessage(Files.readString(reject).strip());
        } catch (java.io.IOException error) {
            receive.sendMessage(error.toString());
        }
        for (var command : commands) {
            command.setResult(ReceiveCommand.Result.REJECTED_OTHER_REASON, "declined");
        }
    }
}
