namespace LowRankQuant.Hub;

/// <summary>Which hub is asked, as whom, and where its files are kept. The one place that reads the variables of Hugging Face's own tools.</summary>
public sealed record HubOptions
{
    /// <summary>The public hub.</summary>
    public const string PublicEndpoint = "https://huggingface.co";

    /// <summary>The hub: scheme, host, port and perhaps a path in front of all others.</summary>
    public Uri Endpoint { get; init; } = new(PublicEndpoint);

    /// <summary>Folder of the cache, shared with Python: <c>~/.cache/huggingface/hub</c>.</summary>
    public required string Cache { get; init; }

    /// <summary>What says who asks; null for nobody. It is sent to the hub's own host and to no other.</summary>
    public string? Token { get; init; }

    /// <summary>The file that a token may stand in, for messages.</summary>
    public string TokenFile { get; init; } = "";

    /// <summary>Whether nothing may be asked: what the cache has is all there is.</summary>
    public bool Offline { get; init; }

    /// <summary>Files that are fetched at the same time.</summary>
    public int Parallel { get; init; } = 4;

    /// <summary>How often a request that failed is made again without having got any further.</summary>
    public int Retries { get; init; } = 5;

    /// <summary>The first pause between two tries where the server names none; it doubles.</summary>
    public TimeSpan RetryDelay { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest pause that a server may ask for.</summary>
    public TimeSpan LongestWait { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>How long nothing may come before a connection counts as cut.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Reads the environment: HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE.</summary>
    /// <exception cref="HubException">A value cannot be used; the message names the variable.</exception>
    public static HubOptions FromEnvironment() => From(Environment.GetEnvironmentVariable);

    /// <summary>As <see cref="FromEnvironment"/>, of any variables.</summary>
    /// <param name="variable">Value of a variable, or null.</param>
    /// <exception cref="HubException">A value cannot be used; the message names the variable.</exception>
    public static HubOptions From(Func<string, string?> variable)
    {
        string user = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        string home = Given("HF_HOME") ?? Path.Combine(Given("XDG_CACHE_HOME") ?? Path.Combine(user, ".cache"), "huggingface");
        string tokenFile = Given("HF_TOKEN_PATH") ?? Path.Combine(home, "token");
        return new HubOptions
        {
            Endpoint = Given("HF_ENDPOINT") is { } endpoint ? EndpointOf(endpoint) : new Uri(PublicEndpoint),
            Cache = Path.GetFullPath(Expanded(Given("HF_HUB_CACHE") ?? Path.Combine(home, "hub"))),
            Token = TokenOf(Given("HF_TOKEN"), "HF_TOKEN") ?? TokenOf(Read(Expanded(tokenFile)), tokenFile),
            TokenFile = Expanded(tokenFile),
            Offline = Given("HF_HUB_OFFLINE")?.ToUpperInvariant() is "1" or "TRUE" or "YES" or "ON",
        };

        string? Given(string name) => variable(name) is { } value && !string.IsNullOrWhiteSpace(value) ? value.Trim() : null;

        string Expanded(string path) => path == "~" || path.StartsWith("~/", StringComparison.Ordinal) ? user + path[1..] : path;
    }

    // A token in a message or a log would be given away.
    /// <inheritdoc/>
    public override string ToString() => $"{Endpoint}, cache {Cache}{(Offline ? ", offline" : "")}";

    private static Uri EndpointOf(string text)
    {
        bool sound = Uri.TryCreate(text, UriKind.Absolute, out Uri? endpoint) && endpoint.Scheme is "http" or "https" && endpoint!.UserInfo.Length == 0
            && endpoint.Query.Length == 0 && endpoint.Fragment.Length == 0;
        return sound ? endpoint! : throw new HubException($"HF_ENDPOINT {text}: must be an address such as {PublicEndpoint}, without a name, a password or a query.");
    }

    private static string? TokenOf(string? text, string where)
    {
        text = text?.Trim();
        if (string.IsNullOrEmpty(text)) return null;
        return text.All(c => c is > ' ' and < '\x7f') ? text : throw new HubException($"{where}: a token has letters, digits and signs on one line and nothing else; take it from the hub's settings again.");
    }

    private static string? Read(string file)
    {
        const int largest = 4096;
        if (!File.Exists(file)) return null;
        using var reader = new StreamReader(file);
        var text = new char[largest];
        int length = reader.ReadBlock(text);
        return length < largest ? new string(text, 0, length) : throw new HubException($"{file}: is too large for a token.");
    }
}
