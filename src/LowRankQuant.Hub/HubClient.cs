using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using LowRankQuant.Formats;
using Polly;
using Polly.Retry;

namespace LowRankQuant.Hub;

/// <summary>The hub's protocol: what a revision is, which files a commit has, a file. Requests that fail in passing are made again.</summary>
internal sealed partial class HubClient : IDisposable
{
    // Answers of the largest repositories have some megabytes.
    private const int LargestAnswer = 32 << 20;
    private const int MostPages = 1000, MostFiles = 200_000;

    private static readonly TimeSpan NoticedPause = TimeSpan.FromSeconds(1);

    private readonly HubOptions _options;
    private readonly HubAddresses _addresses;
    private readonly HubTransport _transport;
    private readonly HubAnswers _answers;
    private readonly ResiliencePipeline _ask;

    /// <summary>Opens nothing yet.</summary>
    /// <param name="options">The hub.</param>
    /// <param name="time">Whose clock pauses go by.</param>
    /// <param name="told">Told about pauses that somebody would notice.</param>
    public HubClient(HubOptions options, TimeProvider time, Action<string> told)
    {
        _options = options;
        _addresses = new HubAddresses(options.Endpoint);
        _transport = new HubTransport(options, _addresses);
        _answers = new HubAnswers(options, _addresses, time);
        // In the middle of a download a network may come back; before it, a path that was mistyped should not take half a minute.
        Retry = Pipeline(_ => true);
        _ask = Pipeline(failure => !failure.IsUnknownHost);

        ResiliencePipeline Pipeline(Func<TransientHubException, bool> handled) => new ResiliencePipelineBuilder { TimeProvider = time }.AddRetry(new RetryStrategyOptions
        {
            ShouldHandle = new PredicateBuilder().Handle(handled),
            MaxRetryAttempts = options.Retries,
            Delay = options.RetryDelay,
            BackoffType = DelayBackoffType.Exponential,
            UseJitter = true,
            DelayGenerator = failed => ValueTask.FromResult((failed.Outcome.Exception as TransientHubException)?.Wait),
            OnRetry = failed =>
            {
                if (failed.RetryDelay >= NoticedPause && failed.Outcome.Exception is TransientHubException failure) told($"{failure.What}; again in {failed.RetryDelay.TotalSeconds:0} s");
                return ValueTask.CompletedTask;
            },
        }).Build();
    }

    /// <summary>Does a download again that fails in passing.</summary>
    public ResiliencePipeline Retry { get; }

    public void Dispose() => _transport.Dispose();

    /// <summary>The commit that a revision is.</summary>
    /// <exception cref="HubException">There is no such repository or revision, no access, or no sound answer.</exception>
    public async Task<string> CommitAsync(HubName name, CancellationToken cancellation)
    {
        Uri address = _addresses.Revision(name);
        using JsonDocument document = (await JsonAsync(name, address, $"revision {name.Revision}", cancellation).ConfigureAwait(false)).Document;
        bool sound = document.RootElement.ValueKind == JsonValueKind.Object && document.RootElement.TryGetProperty("sha", out JsonElement sha)
            && sha.ValueKind == JsonValueKind.String && HubName.Commit().IsMatch(sha.GetString()!);
        return sound ? document.RootElement.GetProperty("sha").GetString()! : throw new HubException($"{HubAddresses.Shown(address)}: 'sha' must be a commit of 40 hexadecimal digits.");
    }

    /// <summary>All files of a commit, however many pages they take.</summary>
    /// <exception cref="HubException">As for <see cref="CommitAsync"/>, or a file's name leads out of its folder.</exception>
    public async Task<IReadOnlyList<HubFile>> FilesAsync(HubName name, string commit, CancellationToken cancellation)
    {
        var files = new List<HubFile>();
        Uri? next = _addresses.Tree(name, commit);
        for (int page = 0; next is not null; page++)
        {
            if (page == MostPages || files.Count > MostFiles) throw new HubException($"{name}: the list of files has no end: {files.Count} on {page} pages.");
            Uri address = next;
            (JsonDocument document, next) = await JsonAsync(name, address, "the list of files", cancellation).ConfigureAwait(false);
            using (document) files.AddRange(Files(document.RootElement, HubAddresses.Shown(address)));
        }
        string? twice = files.GroupBy(file => file.Path, StringComparer.Ordinal).FirstOrDefault(group => group.Count() > 1)?.Key;
        return twice is null ? files : throw new HubException($"{name}: the list of files names {twice} twice.");
    }

    /// <summary>Asks about one file without fetching it.</summary>
    /// <returns>The file, and the commit that the revision is.</returns>
    /// <exception cref="HubException">As for <see cref="CommitAsync"/>, or there is no such file (<see cref="HubException.Code"/>).</exception>
    public async Task<(HubFile File, string Commit)> FileAsync(HubName name, string path, CancellationToken cancellation)
    {
        Uri address = _addresses.File(name, name.Revision, path);
        return await _ask.ExecuteAsync(async token =>
        {
            // The redirect to a store says what is stored; a redirect within the hub only says where it is.
            using HttpResponseMessage response = await _transport.SendAsync(HttpMethod.Head, address, 0, answer => HubAnswers.Header(answer, "X-Linked-Etag") is not null, token).ConfigureAwait(false);
            string? linked = HubAnswers.Header(response, "X-Linked-Etag");
            if (linked is null && _answers.Failure(response, name, path) is { } failure) throw failure;
            long? size = HubAnswers.Header(response, "X-Linked-Size") is { } text ? long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long stated) ? stated : null
                : linked is null ? response.Content.Headers.ContentLength : null;
            string? commit = HubAnswers.Header(response, "X-Repo-Commit");
            if (commit is null || !HubName.Commit().IsMatch(commit)) throw new HubException($"{HubAddresses.Shown(address)}: X-Repo-Commit must be a commit of 40 hexadecimal digits; this is no Hugging Face hub, or something between leaves the header out.");
            return (HubFile.Of(path, size, Bare(linked ?? response.Headers.ETag?.Tag), HubAddresses.Shown(address)), commit);
        }, cancellation).ConfigureAwait(false);
    }

    /// <summary>Asks once for a file's content.</summary>
    /// <param name="name">The repository.</param>
    /// <param name="commit">The commit.</param>
    /// <param name="file">The file.</param>
    /// <param name="from">The first byte wanted.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <returns>The answer, of status 200 (the whole), 206 (from there) or 416.</returns>
    /// <exception cref="HubException">No such answer; <see cref="TransientHubException"/> where another try may help.</exception>
    public async Task<HttpResponseMessage> OpenAsync(HubName name, string commit, HubFile file, long from, CancellationToken cancellation)
    {
        HttpResponseMessage response = await _transport.SendAsync(HttpMethod.Get, _addresses.File(name, commit, file.Path), from, _ => false, cancellation).ConfigureAwait(false);
        if (response.StatusCode is System.Net.HttpStatusCode.RequestedRangeNotSatisfiable || _answers.Failure(response, name, file.Path) is not { } failure) return response;
        response.Dispose();
        throw failure;
    }

    private Task<(JsonDocument Document, Uri? Next)> JsonAsync(HubName name, Uri address, string what, CancellationToken cancellation) => _ask.ExecuteAsync(async token =>
    {
        using HttpResponseMessage response = await _transport.SendAsync(HttpMethod.Get, address, 0, _ => false, token).ConfigureAwait(false);
        if (_answers.Failure(response, name, what) is { } failure) throw failure;
        byte[] bytes = await BodyAsync(response, address, token).ConfigureAwait(false);
        Uri? next = NextPage(response, address);
        try
        {
            return (JsonFile.Parse(bytes, HubAddresses.Shown(address), kind: "hub"), next);
        }
        catch (CheckpointFormatException bad)
        {
            throw new HubException($"{bad.Message} The hub, or something between, answers with other than it should.", bad);
        }
    }, cancellation).AsTask();

    private async Task<byte[]> BodyAsync(HttpResponseMessage response, Uri address, CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(_options.StallTimeout);
        using var body = new MemoryStream();
        try
        {
            using Stream stream = await response.Content.ReadAsStreamAsync(patience.Token).ConfigureAwait(false);
            var buffer = new byte[1 << 16];
            for (int read; (read = await stream.ReadAsync(buffer, patience.Token).ConfigureAwait(false)) > 0;)
            {
                if (body.Length + read > LargestAnswer) throw new HubException($"{HubAddresses.Shown(address)}: the answer has more than {LargestAnswer} bytes.");
                body.Write(buffer, 0, read);
            }
        }
        catch (OperationCanceledException slow) when (!cancellation.IsCancellationRequested)
        {
            throw new TransientHubException($"{HubAddresses.Shown(address)}: the answer does not end within {_options.StallTimeout.TotalSeconds:0} s", "try later", slow);
        }
        catch (Exception cut) when (cut is IOException or HttpRequestException)
        {
            throw new TransientHubException($"{HubAddresses.Shown(address)}: {cut.Message.TrimEnd('.')}", "try later", cut);
        }
        return body.ToArray();
    }

    private static Uri? NextPage(HttpResponseMessage response, Uri address)
    {
        if (!response.Headers.TryGetValues("Link", out IEnumerable<string>? links)) return null;
        Match match = NextLink().Match(string.Join(", ", links));
        if (!match.Success) return null;
        return Uri.TryCreate(address, match.Groups[1].Value, out Uri? next) && (next.Scheme == Uri.UriSchemeHttps || next.Scheme == address.Scheme)
            ? next : throw new HubException($"{HubAddresses.Shown(address)}: the address of the next page is none that is followed.");
    }

    private static IEnumerable<HubFile> Files(JsonElement list, string where)
    {
        if (list.ValueKind != JsonValueKind.Array) throw new HubException($"{where}: is {JsonFile.Name(list.ValueKind)}; a list of files must be an array.");
        foreach (JsonElement entry in list.EnumerateArray())
        {
            if (Text(entry, "type") != "file") continue;
            JsonElement large = entry.TryGetProperty("lfs", out JsonElement lfs) && lfs.ValueKind == JsonValueKind.Object ? lfs : entry;
            long? size = large.TryGetProperty("size", out JsonElement number) && number.ValueKind == JsonValueKind.Number && number.TryGetInt64(out long bytes) ? bytes : null;
            yield return HubFile.Of(Text(entry, "path") ?? "", size, Text(large, "oid"), where);
        }
    }

    private static string? Text(JsonElement entry, string key) =>
        entry.ValueKind == JsonValueKind.Object && entry.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static string? Bare(string? etag)
    {
        if (etag?.StartsWith("W/", StringComparison.Ordinal) == true) etag = etag[2..];
        return etag?.Trim('"');
    }

    [GeneratedRegex("""<([^<>]{1,4000})>\s*;\s*rel="?next"?""")]
    private static partial Regex NextLink();
}
