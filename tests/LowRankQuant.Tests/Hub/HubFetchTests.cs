using System.Diagnostics;
using System.Text.Json.Nodes;
using LowRankQuant.Hub;

namespace LowRankQuant.Tests.Hub;

/// <summary>What is asked and what is left on disk, against a server that behaves.</summary>
public class HubFetchTests
{
    private static readonly CancellationToken Cancellation = TestContext.Current.CancellationToken;

    private static async Task<HubSnapshot> Fetch(HubOptions options, string name, IProgress<HubProgress>? progress = null, params string[] patterns)
    {
        return await new HubFetch(options).FetchAsync(HubName.Parse($"hf://{name}"), patterns.Length > 0 ? patterns : null, progress, Cancellation);
    }

    // The steps of the recording, without the list of files, which is optional there. A file of data is not among what was recorded.
    [Fact]
    public async Task TheCacheIsWhatPythonLeaves()
    {
        JsonObject exchange = JsonNode.Parse(File.ReadAllText(TestData.Path("golden", "hub", "exchange.json")))!.AsObject();
        string model = TestData.Path("models", "tinystories-656k");
        using var folder = new TemporaryFolder();
        await using HubServer server = await HubServer.StartAsync(("acme/tiny", HubRepository.OfFolder(model)), ("acme/gated", HubRepository.OfFolder(model, "hf_good")));
        HubOptions options = server.Options(folder);
        HubSnapshot snapshot = await Fetch(options, "acme/tiny");
        Assert.Equal("EntryNotFound", (await Assert.ThrowsAsync<HubException>(() => Fetch(options, "acme/tiny/pytorch_model.bin"))).Code);
        await Fetch(options, "acme/tiny@v1/config.json");
        await Fetch(options with { Token = "hf_good" }, "acme/gated/config.json");
        string[] expected = [.. exchange["cache"]!.AsArray().Select(line => (string)line!).Where(line => !line.Contains("/trees/", StringComparison.Ordinal) && !line.Contains("datasets--", StringComparison.Ordinal))];
        Assert.Equal(expected.Order(StringComparer.Ordinal), Entries(folder.Path).Order(StringComparer.Ordinal));
        foreach ((string file, JsonNode? commit) in exchange["refs"]!.AsObject().Where(entry => !entry.Key.Contains("datasets--", StringComparison.Ordinal)).Some())
            Assert.Equal((string)commit!, File.ReadAllText(folder.File(file)));
        Assert.Equal(folder.File($"hub/models--acme--tiny/snapshots/{HubRepository.Commit}"), snapshot.Location);
        Assert.All(Directory.EnumerateFiles(model).Some(), file => Assert.Equal(File.ReadAllBytes(file), File.ReadAllBytes(Path.Combine(snapshot.Location, Path.GetFileName(file)))));
    }

    /// <summary>Files and links as the recording writes them.</summary>
    private static IEnumerable<string> Entries(string folder) => Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Select(file =>
    {
        var info = new FileInfo(file);
        string name = Path.GetRelativePath(folder, file).Replace('\\', '/');
        return info.LinkTarget is { } target ? $"{name} -> {target}" : $"{name} ({info.Length} bytes)";
    });

    [Fact]
    public async Task OnlyWhatIsNeededIsAsked()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await HubServer.StartAsync(("acme/tiny", HubRepository.Small()));
        HubSnapshot snapshot = await Fetch(server.Options(folder), "acme/tiny");
        Assert.Equal(["config.json", "model.safetensors", "tokenizer.json"], snapshot.Files);
        Assert.Equal((HubRepository.Commit, 100_025L, 100_025L), (snapshot.Commit, snapshot.Bytes, snapshot.Downloaded));
        Assert.Equal(server.Repositories["acme/tiny"].Files["model.safetensors"], File.ReadAllBytes(Path.Combine(snapshot.Folder, "model.safetensors")));
        string[] api = [.. server.Requests.Where(request => !request.IsFile).Select(request => request.ToString())];
        Assert.Equal(
            [
                "GET /api/models/acme/tiny/revision/main", $"GET /api/models/acme/tiny/tree/{HubRepository.Commit}?recursive=true&expand=false",
                $"GET /api/models/acme/tiny/tree/{HubRepository.Commit}?recursive=true&expand=false&cursor=1",
            ],
            api);
        Assert.DoesNotContain(server.Requests, request => request.Address.Contains(".bin", StringComparison.Ordinal));
        Assert.All(server.Requests, request => Assert.Null(request.Authorization));
        // Again: what the revision is and which files it has, and no file.
        server.Forget();
        Assert.Equal(0, (await Fetch(server.Options(folder), "acme/tiny")).Downloaded);
        Assert.Equal(api, server.Requests.Select(request => request.ToString()));
    }

    [Fact]
    public async Task TheTokenGoesToTheHubAndNowhereElse()
    {
        using var folder = new TemporaryFolder();
        HubRepository repository = HubRepository.Small();
        await using HubServer server = await HubServer.StartAsync(("acme/tiny", repository));
        await Fetch(server.Options(folder) with { Token = "hf_secret" }, "acme/tiny");
        Assert.All(server.Requests.Where(request => !request.AtStore).Some(), request => Assert.Equal("Bearer hf_secret", request.Authorization));
        Assert.All(server.Requests.Where(request => request.AtStore).Some(), request => Assert.Null(request.Authorization));
    }

    [Fact]
    public async Task RevisionsAreBranchesTagsPullRequestsAndCommits()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await HubServer.StartAsync(("acme/tiny", HubRepository.Small(100)));
        HubOptions options = server.Options(folder);
        string cache = folder.File("hub/models--acme--tiny");
        Assert.Equal(HubRepository.Earlier, (await Fetch(options, "acme/tiny@v1")).Commit);
        Assert.Equal(HubRepository.Earlier, (await Fetch(options, "acme/tiny@refs/pr/1")).Commit);
        Assert.Equal(HubRepository.Commit, (await Fetch(options, $"acme/tiny@{HubRepository.Commit}")).Commit);
        Assert.Equal(["refs/pr/1", "v1"], Directory.EnumerateFiles(Path.Combine(cache, "refs"), "*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(Path.Combine(cache, "refs"), file)).Order());
        Assert.Contains(server.Requests, request => request.Address.StartsWith("/api/models/acme/tiny/revision/refs", StringComparison.Ordinal));
        // A file of a commit that is there is asked of nobody.
        server.Forget();
        await Fetch(options, $"acme/tiny@{HubRepository.Commit}/config.json");
        Assert.Empty(server.Requests);
    }

    [Fact]
    public async Task DataAndSingleFilesComeByName()
    {
        using var folder = new TemporaryFolder();
        var data = new HubRepository();
        data.Files["data/train.jsonl"] = HubRepository.Bytes(1000, 3);
        data.Files["data/train-00000-of-00001.parquet"] = HubRepository.Bytes(1000, 4);
        var split = new HubRepository();
        split.Files["q4/m-00001-of-00002.gguf"] = HubRepository.Bytes(1000, 5);
        split.Files["q4/m-00002-of-00002.gguf"] = HubRepository.Bytes(1000, 6);
        await using HubServer server = await HubServer.StartAsync(("datasets/acme/data", data), ("acme/split", split));
        HubOptions options = server.Options(folder);
        HubSnapshot snapshot = await Fetch(options, "datasets/acme/data/data/train.jsonl");
        Assert.Equal(folder.File($"hub/datasets--acme--data/snapshots/{HubRepository.Commit}/data/train.jsonl"), snapshot.Location);
        Assert.Equal(data.Files["data/train.jsonl"], File.ReadAllBytes(snapshot.Location));
        Assert.Equal($"../../../blobs/{HubRepository.GitSha1(data.Files["data/train.jsonl"])}", new FileInfo(snapshot.Location).LinkTarget);
        Assert.Equal(["data/train-00000-of-00001.parquet"], (await Fetch(options, "datasets/acme/data", null, "*.parquet")).Files);
        Assert.Contains("whole data set", (await Assert.ThrowsAsync<HubException>(() => Fetch(options, "datasets/acme/data"))).Message, StringComparison.Ordinal);
        // All parts of a split file.
        snapshot = await Fetch(options, "acme/split/q4/m-00001-of-00002.gguf");
        Assert.True(File.Exists(snapshot.Location) && File.Exists(snapshot.Location.Replace("00001-of", "00002-of", StringComparison.Ordinal)));
        // A second time one request says that nothing has changed.
        server.Forget();
        await Fetch(options, "datasets/acme/data/data/train.jsonl");
        Assert.Equal("HEAD /datasets/acme/data/resolve/main/data/train.jsonl", Assert.Single(server.Requests).ToString());
    }

    [Fact]
    public async Task OfflineTheCacheIsAllThereIs()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await HubServer.StartAsync(("acme/tiny", HubRepository.Small()));
        HubOptions options = server.Options(folder), offline = options with { Offline = true };
        string message = (await Assert.ThrowsAsync<HubException>(() => Fetch(offline, "acme/tiny"))).Message;
        Assert.Contains("lrq pull acme/tiny", message, StringComparison.Ordinal);
        await Fetch(options, "acme/tiny/tokenizer.json");
        Assert.Contains("not all of it", (await Assert.ThrowsAsync<HubException>(() => Fetch(offline, "acme/tiny"))).Message, StringComparison.Ordinal);
        Assert.Contains("lacks config.json", (await Assert.ThrowsAsync<HubException>(() => Fetch(offline, "acme/tiny/config.json"))).Message, StringComparison.Ordinal);
        HubSnapshot online = await Fetch(options, "acme/tiny");
        server.Forget();
        HubSnapshot snapshot = await Fetch(offline, "acme/tiny");
        Assert.Equal((online.Location, online.Bytes, 0L), (snapshot.Location, snapshot.Bytes, snapshot.Downloaded));
        Assert.Equal(online.Location, (await Fetch(offline, $"acme/tiny@{HubRepository.Commit}")).Location);
        Assert.Empty(server.Requests);
    }

    [Fact]
    public async Task AHubThatIsNotReachedLeavesWhatTheCacheHas()
    {
        using var folder = new TemporaryFolder();
        HubServer server = await HubServer.StartAsync(("acme/tiny", HubRepository.Small()));
        HubOptions options = server.Options(folder);
        HubSnapshot online = await Fetch(options, "acme/tiny");
        await server.DisposeAsync();
        var lines = new Lines();
        Assert.Equal(online.Location, (await Fetch(options, "acme/tiny", lines)).Location);
        Assert.Contains(lines.All, line => line.Line == HubLine.Warning && line.Text!.Contains("taking what the cache has", StringComparison.Ordinal));
        string message = (await Assert.ThrowsAnyAsync<HubException>(() => Fetch(options, "acme/other"))).Message;
        Assert.Contains("HF_ENDPOINT", message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AHostThatNobodyKnowsIsAskedForOnce()
    {
        using var folder = new TemporaryFolder();
        var options = new HubOptions { Endpoint = new Uri("http://hub.invalid"), Cache = folder.Path, RetryDelay = TimeSpan.FromMinutes(5) };
        string message = (await Assert.ThrowsAnyAsync<HubException>(() => Fetch(options, "acme/tiny"))).Message;
        Assert.Contains("HF_ENDPOINT", message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public async Task ARepositoryWithAnotherNameByNowIsFollowed()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await HubServer.StartAsync(("acme/tiny", HubRepository.Small()));
        server.Renamed.Add("old/tiny", "acme/tiny");
        Assert.Equal(3, (await Fetch(server.Options(folder) with { Token = "hf_x" }, "old/tiny")).Files.Count);
        Assert.Equal(HubRepository.Commit, (await Fetch(server.Options(folder), "old/tiny/config.json")).Commit);
    }

    [Fact]
    public async Task SeveralAtOnceFetchEveryFileOnce()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await HubServer.StartAsync(("acme/tiny", HubRepository.Small(3_000_000)));
        server.WhileServing = () => Thread.Sleep(300);
        HubSnapshot[] all = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Fetch(server.Options(folder), "acme/tiny")));
        Assert.Single(all.Select(snapshot => snapshot.Location).Distinct());
        Assert.Single(server.Downloads, request => request.AtStore);
        Assert.Equal(3_000_025, all.Sum(snapshot => snapshot.Downloaded));
    }

    [Fact]
    public async Task ALockOfAnotherProcessIsWaitedFor()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && File.Exists("/usr/bin/flock"), "flock of util-linux, which takes locks as Python's filelock does, is not here.");
        using var folder = new TemporaryFolder();
        HubRepository repository = HubRepository.Small();
        await using HubServer server = await HubServer.StartAsync(("acme/tiny", repository));
        string file = folder.File($"hub/.locks/models--acme--tiny/{HubRepository.Sha256(repository.Files["model.safetensors"])}.lock");
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        using var other = Process.Start(new ProcessStartInfo("/usr/bin/flock", [file, "sh", "-c", "echo taken; sleep 2"]) { RedirectStandardOutput = true })!;
        Assert.Equal("taken", await other.StandardOutput.ReadLineAsync(Cancellation));
        var lines = new Lines();
        await Fetch(server.Options(folder), "acme/tiny", lines);
        Assert.True(other.HasExited);
        Assert.Contains(lines.All, line => line.Text == "model.safetensors: another process fetches it; waiting for that one");
    }

    [Fact]
    public void WhereThereAreNoLinksFilesAreCopied()
    {
        using var folder = new TemporaryFolder();
        var cache = new HubCache(folder.Path, HubName.Parse("hf://acme/tiny")) { Link = (_, _) => throw new UnauthorizedAccessException() };
        cache.Prepare();
        File.WriteAllText(cache.Blob("x"), "content");
        cache.Place(HubRepository.Commit, "a/b.txt", "x");
        var file = new FileInfo(cache.File(HubRepository.Commit, "a/b.txt"));
        Assert.Null(file.LinkTarget);
        Assert.Equal("content", File.ReadAllText(file.FullName));
        cache.Place(HubRepository.Commit, "a/b.txt", "x");
        Assert.Equal(["a/b.txt"], cache.Files(HubRepository.Commit));
    }

    [Fact]
    public async Task ProgressEndsWhereTheFilesDo()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await HubServer.StartAsync(("acme/tiny", HubRepository.Small()));
        var lines = new Lines();
        await Fetch(server.Options(folder), "acme/tiny", lines);
        Assert.Equal((100_025L, 100_025L), (lines.All[^1].Done, lines.All[^1].Total));
        Assert.Contains(lines.All, line => line is { Line: HubLine.Stage, Text: "fetching 3 files of acme/tiny, 0.1 MB" });
    }

    /// <summary>What was told, in its order.</summary>
    private sealed class Lines : IProgress<HubProgress>
    {
        public List<HubProgress> All { get; } = [];

        public void Report(HubProgress value) => All.Add(value);
    }
}
