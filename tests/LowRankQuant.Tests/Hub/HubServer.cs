using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using LowRankQuant.Hub;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace LowRankQuant.Tests.Hub;

/// <summary>One request that came.</summary>
internal sealed record HubRequest(string Method, string Address, string? Range, string? Authorization, bool AtStore)
{
    public bool IsFile => AtStore || Address.Contains("/resolve/", StringComparison.Ordinal);

    public override string ToString() => $"{(AtStore ? "store " : "")}{Method} {Address}{(Range is null ? "" : $" {Range}")}";
}

/// <summary>
/// A server that answers as the Hugging Face hub does: revisions, lists of files in pages, files by revision, large ones by a redirect to a store on another
/// host (here another port), ranges, access by token, error codes; and, where it is told to, wrongly.
/// </summary>
internal sealed class HubServer : IAsyncDisposable
{
    private const int PageSize = 3;
    private readonly WebApplication _app;
    private readonly ConcurrentQueue<HubRequest> _requests = [];

    private HubServer(WebApplication app) => _app = app;

    public Dictionary<string, HubRepository> Repositories { get; } = [];

    /// <summary>Repositories that have another name by now.</summary>
    public Dictionary<string, string> Renamed { get; } = [];

    public HubFaults Faults { get; set; } = new();

    /// <summary>What is done while a file of the store is asked for.</summary>
    public Action? WhileServing { get; set; }

    public Uri Endpoint { get; private set; } = null!;

    private Uri Store { get; set; } = null!;

    public IReadOnlyList<HubRequest> Requests => [.. _requests];

    /// <summary>GETs of files.</summary>
    public IReadOnlyList<HubRequest> Downloads => [.. _requests.Where(request => request is { Method: "GET", IsFile: true })];

    public static async Task<HubServer> StartAsync(params (string Name, HubRepository Repository)[] repositories)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelCore().ConfigureKestrel(options =>
        {
            options.Listen(System.Net.IPAddress.Loopback, 0);
            options.Listen(System.Net.IPAddress.Loopback, 0);
            options.Limits.MinResponseDataRate = null;
        });
        var server = new HubServer(builder.Build());
        foreach ((string name, HubRepository repository) in repositories) server.Repositories.Add(name, repository);
        server._app.Run(server.AnswerAsync);
        await server._app.StartAsync(TestContext.Current.CancellationToken);
        string[] addresses = [.. server._app.Urls];
        (server.Endpoint, server.Store) = (new Uri(addresses[0]), new Uri(addresses[1]));
        return server;
    }

    /// <summary>The server as a user would set it up, impatient.</summary>
    public HubOptions Options(TemporaryFolder folder) => new()
    {
        Endpoint = Endpoint,
        Cache = folder.File("hub"),
        TokenFile = folder.File("token"),
        Retries = 3,
        RetryDelay = TimeSpan.FromMilliseconds(1),
        StallTimeout = TimeSpan.FromSeconds(20),
    };

    public void Forget() => _requests.Clear();

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
    }

    private async Task AnswerAsync(HttpContext context)
    {
        HttpRequest request = context.Request;
        bool atStore = context.Connection.LocalPort == Store.Port;
        string? range = request.Headers.Range, authorization = request.Headers.Authorization;
        _requests.Enqueue(new HubRequest(request.Method, request.Path + request.QueryString.Value, range, authorization, atStore));
        if (Faults.TakesBusy())
        {
            if (Faults.RetryAfter is { } after) context.Response.Headers.RetryAfter = after;
            if (Faults.RateLimit is { } limit) context.Response.Headers["RateLimit"] = limit;
            context.Response.StatusCode = Faults.BusyStatus;
            return;
        }
        if (Renamed.FirstOrDefault(name => request.Path.Value!.Contains($"/{name.Key}/", StringComparison.Ordinal)) is { Key: { } old, Value: var name })
        {
            context.Response.StatusCode = 307;
            context.Response.Headers.Location = request.Path.Value!.Replace(old, name, StringComparison.Ordinal) + request.QueryString.Value;
            return;
        }
        string[] parts = [.. request.Path.Value!.Trim('/').Split('/').Select(Uri.UnescapeDataString)];
        if (atStore) await StoreAsync(context, parts[0]);
        else if (parts[0] == "api") await ApiAsync(context, parts[1] == "datasets" ? $"datasets/{parts[2]}/{parts[3]}" : $"{parts[2]}/{parts[3]}", parts[4], string.Join('/', parts[5..]));
        else
        {
            int resolve = Array.IndexOf(parts, "resolve");
            await FileAsync(context, string.Join('/', parts[..resolve]), parts[resolve + 1], string.Join('/', parts[(resolve + 2)..]));
        }
    }

    private HubRepository? Open(HttpContext context, string name, string revision, out string? commit)
    {
        commit = null;
        HttpResponse response = context.Response;
        if (!Repositories.TryGetValue(name, out HubRepository? repository)) return Refuse(404, "RepoNotFound");
        if (repository.Token is { } token && context.Request.Headers.Authorization != $"Bearer {token}")
        {
            response.Headers["X-Error-Message"] = $"Access to model {name} is restricted.";
            return Refuse(context.Request.Headers.Authorization.Count == 0 ? 401 : 403, "GatedRepo");
        }
        commit = repository.CommitOf(revision);
        return commit is null ? Refuse(404, "RevisionNotFound") : repository;

        HubRepository? Refuse(int status, string code)
        {
            response.StatusCode = status;
            response.Headers["X-Error-Code"] = code;
            return null;
        }
    }

    private async Task ApiAsync(HttpContext context, string name, string what, string revision)
    {
        if (Open(context, name, revision, out string? commit) is not { } repository) return;
        context.Response.ContentType = "application/json";
        string blanks = new(' ', Faults.Blanks);
        if (Faults.Answer is { } wrong) await context.Response.WriteAsync(wrong);
        else if (what == "revision") await context.Response.WriteAsync(blanks + new JsonObject { ["id"] = name, ["sha"] = commit, ["siblings"] = new JsonArray() }.ToJsonString());
        else await TreeAsync(context, repository, blanks);
    }

    private async Task TreeAsync(HttpContext context, HubRepository repository, string blanks)
    {
        int page = int.TryParse(context.Request.Query["cursor"], CultureInfo.InvariantCulture, out int cursor) ? cursor : 0;
        var entries = new List<JsonNode?> { new JsonObject { ["type"] = "directory", ["oid"] = HubRepository.Earlier, ["size"] = 0, ["path"] = "folder" } };
        foreach ((string path, byte[] content) in repository.Files)
        {
            var entry = new JsonObject { ["type"] = "file", ["oid"] = HubRepository.GitSha1(content), ["size"] = content.Length, ["path"] = path };
            if (HubRepository.IsLarge(path)) entry["lfs"] = new JsonObject { ["oid"] = HubRepository.Sha256(content), ["size"] = Faults.StatedSize ?? content.Length, ["pointerSize"] = 132 };
            entries.Add(entry);
        }
        if (Faults.ForeignName is { } foreign) entries.Add(new JsonObject { ["type"] = "file", ["oid"] = HubRepository.Commit, ["size"] = 3, ["path"] = foreign });
        if (Faults.EndlessPages || (page + 1) * PageSize < entries.Count)
            context.Response.Headers.Link = $"<{Endpoint.ToString().TrimEnd('/')}{context.Request.Path}?recursive=true&expand=false&cursor={page + 1}>; rel=\"next\"";
        await context.Response.WriteAsync(blanks + new JsonArray([.. entries.Skip(page * PageSize).Take(PageSize)]).ToJsonString());
    }

    private async Task FileAsync(HttpContext context, string name, string revision, string path)
    {
        if (Open(context, name, revision, out string? commit) is not { } repository) return;
        HttpResponse response = context.Response;
        response.Headers["X-Repo-Commit"] = commit;
        if (!repository.Files.TryGetValue(path, out byte[]? content))
        {
            response.StatusCode = 404;
            response.Headers["X-Error-Code"] = "EntryNotFound";
            return;
        }
        response.Headers.ETag = $"\"{HubRepository.ETag(path, content)}\"";
        if (!HubRepository.IsLarge(path))
        {
            await SendAsync(context, content);
            return;
        }
        response.Headers["X-Linked-ETag"] = $"\"{HubRepository.Sha256(content)}\"";
        response.Headers["X-Linked-Size"] = $"{content.Length}";
        response.StatusCode = 302;
        response.Headers.Location = Faults.Location ?? $"{Store}{HubRepository.Sha256(content)}?signature=secret";
    }

    private async Task StoreAsync(HttpContext context, string hash)
    {
        byte[]? content = Repositories.Values.SelectMany(repository => repository.Files.Values).FirstOrDefault(content => HubRepository.Sha256(content) == hash);
        WhileServing?.Invoke();
        if (content is null) context.Response.StatusCode = 403;
        else await SendAsync(context, content, isLarge: true);
    }

    private async Task SendAsync(HttpContext context, byte[] content, bool isLarge = false)
    {
        HttpResponse response = context.Response;
        if (isLarge && Faults.Corrupt)
        {
            content = [.. content];
            content[content.Length / 2] ^= 1;
        }
        int from = 0;
        if (context.Request.GetTypedHeaders().Range is { Ranges: { Count: 1 } ranges } && !Faults.IgnoresRanges)
        {
            from = (int)ranges.First().From!.Value;
            response.StatusCode = from < content.Length && !Faults.RefusesRanges ? 206 : 416;
            response.Headers.ContentRange = $"bytes {from}-{content.Length - 1}/{content.Length}";
            if (response.StatusCode == 416) return;
        }
        if (isLarge && Faults.AnnouncedSurplus > 0) content = [.. content, .. new byte[Faults.AnnouncedSurplus]];
        if (!isLarge || Faults.Surplus == 0) response.ContentLength = content.Length - from;
        if (context.Request.Method == "HEAD") return;
        int end = content.Length;
        bool cut = isLarge && Faults.TakesCut();
        if (cut) end = Math.Min(end, from + Faults.CutAfter);
        if (isLarge && Faults.Stalls) end = Math.Min(end, from + 1000);
        await response.Body.WriteAsync(content.AsMemory(from, end - from));
        await response.Body.FlushAsync();
        if (isLarge && Faults.Stalls && end < content.Length) await GoneAsync(context);
        if (cut) await CutAsync(context);
        else if (isLarge && Faults.Surplus > 0) await response.Body.WriteAsync(new byte[Faults.Surplus]);
    }

    /// <summary>Ends the connection behind what was sent: aborting would take back what is on its way.</summary>
    private static async Task CutAsync(HttpContext context)
    {
        await Task.Delay(100, TestContext.Current.CancellationToken);
        context.Features.GetRequiredFeature<IConnectionSocketFeature>().Socket.Shutdown(SocketShutdown.Send);
        await GoneAsync(context);
        context.Abort();
    }

    private static Task GoneAsync(HttpContext context) => Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
}
