using System.Diagnostics;
using LowRankQuant.Hub;

namespace LowRankQuant.Tests.Hub;

/// <summary>One fault each: of the net, of the server, of the disk.</summary>
public class HubFaultTests
{
    private const int Weights = 100_000;
    private static readonly CancellationToken Cancellation = TestContext.Current.CancellationToken;

    private static async Task<HubSnapshot> Fetch(HubOptions options, string name = "acme/tiny", CancellationToken? cancellation = null)
    {
        return await new HubFetch(options).FetchAsync(HubName.Parse($"hf://{name}"), null, null, cancellation ?? Cancellation);
    }

    private static async Task<HubException> Refused(HubOptions options, string words, string name = "acme/tiny")
    {
        HubException error = await Assert.ThrowsAnyAsync<HubException>(() => Fetch(options, name));
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("signature", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
        return error;
    }

    private static void CheckWeights(HubSnapshot snapshot) => Assert.Equal(HubRepository.Bytes(Weights, 1), File.ReadAllBytes(Path.Combine(snapshot.Folder, "model.safetensors")));

    private static string Blob(TemporaryFolder folder, string end = "") => folder.File($"hub/models--acme--tiny/blobs/{HubRepository.Sha256(HubRepository.Bytes(Weights, 1))}{end}");

    /// <summary>Where requests for the large file began.</summary>
    private static long[] Starts(HubServer server) =>
        [.. server.Downloads.Where(request => request.AtStore).Select(request => request.Range is null ? 0 : long.Parse(request.Range["bytes=".Length..^1]))];

    private static Task<HubServer> Start(HubRepository? repository = null) => HubServer.StartAsync(("acme/tiny", repository ?? HubRepository.Small(Weights)));

    [Fact]
    public async Task ACutConnectionIsGoneOnFrom()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Cuts = 3, CutAfter = 30_000 };
        HubSnapshot snapshot = await Fetch(server.Options(folder));
        CheckWeights(snapshot);
        long[] starts = Starts(server);
        Assert.Equal(0, starts[0]);
        Assert.True(starts.Length >= 4 && starts.SequenceEqual(starts.Order()), string.Join(", ", starts));
        Assert.Equal(100_025, snapshot.Downloaded);
        Assert.False(File.Exists(Blob(folder, ".incomplete")));
    }

    [Fact]
    public async Task ALineThatIsCutOftenerThanIsTriedStillBringsTheFile()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Cuts = 6, CutAfter = 15_000 };
        CheckWeights(await Fetch(server.Options(folder) with { Retries = 1 }));
    }

    [Fact]
    public async Task ALineThatBringsNothingEndsInAMessageAndWhatCameIsKept()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Cuts = 1, CutAfter = 40_000 };
        server.WhileServing = () =>
        {
            if (server.Downloads.Count(request => request.AtStore) > 1) server.Faults = new HubFaults { Cuts = 1, CutAfter = 0 };
        };
        await Refused(server.Options(folder), "goes on from there");
        long kept = new FileInfo(Blob(folder, ".incomplete")).Length;
        Assert.InRange(kept, 1, 40_000);
        Assert.False(File.Exists(Blob(folder)));
        Assert.False(File.Exists(folder.File("hub/models--acme--tiny/refs/main")));
        (server.Faults, server.WhileServing) = (new HubFaults(), null);
        server.Forget();
        HubSnapshot snapshot = await Fetch(server.Options(folder));
        CheckWeights(snapshot);
        Assert.Equal([kept], Starts(server));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task AServerWithoutRangesSendsItAgain(bool ignores)
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Cuts = 1, IgnoresRanges = ignores, RefusesRanges = !ignores };
        CheckWeights(await Fetch(server.Options(folder)));
    }

    [Fact]
    public async Task ALineWhereNothingComesIsCutAndGoneOnFrom()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start(HubRepository.Small(2500));
        server.Faults = new HubFaults { Stalls = true };
        HubSnapshot snapshot = await Fetch(server.Options(folder) with { StallTimeout = TimeSpan.FromSeconds(1), Retries = 10 });
        Assert.Equal(HubRepository.Bytes(2500, 1), File.ReadAllBytes(Path.Combine(snapshot.Folder, "model.safetensors")));
        Assert.Equal([0, 1000, 2000], Starts(server).Distinct());
    }

    [Fact]
    public async Task StoppingLeavesWhatCame()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Stalls = true };
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        Task<HubSnapshot> fetch = Fetch(server.Options(folder), cancellation: stop.Token);
        while (!(new FileInfo(Blob(folder, ".incomplete")) is { Exists: true, Length: 1000 })) await Task.Delay(10, Cancellation);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => fetch);
        Assert.Equal(1000, new FileInfo(Blob(folder, ".incomplete")).Length);
        server.Faults = new HubFaults();
        server.Forget();
        CheckWeights(await Fetch(server.Options(folder)));
        Assert.Equal("bytes=1000-", Assert.Single(server.Downloads, request => request.AtStore).Range);
    }

    [Theory]
    [InlineData("1", null)]
    [InlineData(null, "\"resolvers\";r=0;t=1")]
    public async Task AServerThatAsksToWaitIsWaitedFor(string? retryAfter, string? rateLimit)
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Busy = 1, RetryAfter = retryAfter, RateLimit = rateLimit };
        long start = Stopwatch.GetTimestamp();
        CheckWeights(await Fetch(server.Options(folder)));
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0.9, 60);
    }

    [Fact]
    public async Task AServerThatAsksToWaitTooLongIsNamed()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Busy = 1, RetryAfter = "3600" };
        Assert.Equal(429, (await Refused(server.Options(folder), "3600 s")).Status);
        Assert.Single(server.Requests);
    }

    [Theory]
    [InlineData(500)]
    [InlineData(503)]
    public async Task AServerThatStaysBusyIsAskedSoOftenAndNamed(int status)
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Busy = 2, BusyStatus = status };
        CheckWeights(await Fetch(server.Options(folder)));
        server.Faults = new HubFaults { Busy = 1000, BusyStatus = status };
        server.Forget();
        using var other = new TemporaryFolder();
        await Refused(server.Options(other), $"{status}");
        Assert.Equal(4, server.Requests.Count);
    }

    [Fact]
    public async Task AGatedModelNamesWhereToAskAndHowToGiveAToken()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await HubServer.StartAsync(("acme/gated", new HubRepository { Token = "hf_good" }));
        server.Repositories["acme/gated"].Files["model.safetensors"] = HubRepository.Bytes(10, 1);
        HubOptions options = server.Options(folder);
        HubException error = await Refused(options, $"Ask for it on {server.Endpoint}acme/gated", "acme/gated");
        Assert.Equal((401, "GatedRepo"), (error.Status, error.Code));
        Assert.Contains("HF_TOKEN", error.Message, StringComparison.Ordinal);
        Assert.Contains(options.TokenFile, error.Message, StringComparison.Ordinal);
        Assert.Contains("Access to model acme/gated is restricted", error.Message, StringComparison.Ordinal);
        error = await Refused(options with { Token = "hf_bad" }, "the token that was sent has no access", "acme/gated/model.safetensors");
        Assert.Equal(403, error.Status);
        Assert.DoesNotContain("hf_bad", error.Message, StringComparison.Ordinal);
        Assert.Single((await Fetch(options with { Token = "hf_good" }, "acme/gated")).Files);
    }

    [Theory]
    [InlineData("acme/missing", "RepoNotFound", "no such model")]
    [InlineData("datasets/acme/missing/a.txt", "RepoNotFound", "no such data set")]
    [InlineData("acme/tiny@nope", "RevisionNotFound", "no revision 'nope'")]
    [InlineData("acme/tiny@nope/config.json", "RevisionNotFound", "no revision 'nope'")]
    [InlineData("acme/tiny/nope.json", "EntryNotFound", "nope.json is not there")]
    public async Task WhatIsNotThereIsNamed(string name, string code, string words)
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        HubException error = await Refused(server.Options(folder), words, name);
        Assert.Equal((404, code), (error.Status, error.Code));
        Assert.Contains(server.Endpoint.ToString(), error.Message, StringComparison.Ordinal);
        // Nothing but the tag is left of it, or the mark that it is absent.
        Assert.Equal(code == "EntryNotFound", File.Exists(folder.File($"hub/models--acme--tiny/.no_exist/{HubRepository.Commit}/nope.json")));
    }

    [Fact]
    public async Task OtherBytesThanTheHashSaysAreThrownAway()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Corrupt = true };
        HubException error = await Refused(server.Options(folder), "sha256 of what came is");
        Assert.Contains("model.safetensors", error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(Blob(folder)));
        Assert.Equal(0, new FileInfo(Blob(folder, ".incomplete")).Length);
        Assert.False(Path.Exists(folder.File($"hub/models--acme--tiny/snapshots/{HubRepository.Commit}/model.safetensors")));
    }

    [Fact]
    public async Task WhatAnEarlierTryLeftWronglyIsFetchedAnew()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        Directory.CreateDirectory(Path.GetDirectoryName(Blob(folder))!);
        File.WriteAllBytes(Blob(folder, ".incomplete"), HubRepository.Bytes(1000, 9));
        HubSnapshot snapshot = await Fetch(server.Options(folder));
        CheckWeights(snapshot);
        Assert.Equal(["bytes=1000-", null], server.Downloads.Where(request => request.AtStore).Select(request => request.Range));
        // Longer than the file.
        File.Delete(Blob(folder));
        File.WriteAllBytes(Blob(folder, ".incomplete"), new byte[Weights + 1]);
        CheckWeights(await Fetch(server.Options(folder)));
    }

    [Fact]
    public async Task MoreThanIsStatedIsCutOff()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Surplus = 50_000_000 };
        await Refused(server.Options(folder), "more comes than the 100000 bytes");
        Assert.False(File.Exists(Blob(folder)));
        server.Faults = new HubFaults { AnnouncedSurplus = 1 };
        await Refused(server.Options(folder), "100001 bytes are announced");
    }

    [Fact]
    public async Task ADiskWithoutRoomIsFoundBeforeAnythingComes()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { StatedSize = 1L << 50 };
        IOException error = await Assert.ThrowsAsync<IOException>(() => Fetch(server.Options(folder)));
        Assert.Contains("make room", error.Message, StringComparison.Ordinal);
        Assert.Empty(server.Downloads);
        server.Faults = new HubFaults { StatedSize = (1L << 50) + 1 };
        await Refused(server.Options(folder), "the size is");
    }

    [Fact]
    public async Task ADiskThatFillsUpIsNoFaultOfTheNet()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "/dev/full is not here.");
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        Directory.CreateDirectory(Path.GetDirectoryName(Blob(folder))!);
        File.CreateSymbolicLink(Blob(folder, ".incomplete"), "/dev/full");
        await Assert.ThrowsAsync<IOException>(() => Fetch(server.Options(folder)));
        Assert.Single(server.Downloads, request => request.AtStore);
    }

    [Theory]
    [InlineData("http://HUB/acme/tiny/resolve/main/model.safetensors", "redirects lead to no file")]
    [InlineData("file:///etc/passwd", "not followed")]
    [InlineData("ftp://127.0.0.1/x", "not followed")]
    public async Task RedirectsThatLeadNowhereAreNotFollowed(string location, string words)
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Location = location.Replace("HUB", server.Endpoint.Authority, StringComparison.Ordinal) };
        await Refused(server.Options(folder), words);
        Assert.InRange(server.Downloads.Count, 1, 12);
    }

    [Theory]
    [InlineData("../../../evil.json")]
    [InlineData("/etc/evil.json")]
    [InlineData("a\\..\\..\\evil.json")]
    [InlineData("a/../../evil.json")]
    [InlineData("C:evil.json")]
    [InlineData("evil\u0000.json")]
    [InlineData("")]
    [InlineData("config.json")]
    public async Task NamesThatLeadOutOfTheFolderAreRefused(string name)
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { ForeignName = name };
        await Refused(server.Options(folder), name == "config.json" ? "names config.json twice" : "must be parts between slashes");
        Assert.Empty(server.Downloads);
    }

    [Theory]
    [InlineData("<!DOCTYPE html><html></html>")]
    [InlineData("{\"sha\": 5}")]
    [InlineData("{\"sha\": \"../../x\"}")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{\"sha\": ")]
    public async Task AnswersThatAreNoneAreRefused(string answer)
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Answer = answer };
        await Refused(server.Options(folder), "/api/models/acme/tiny/revision/main");
    }

    [Fact]
    public async Task AnswersWithoutEndAreCutOff()
    {
        using var folder = new TemporaryFolder();
        await using HubServer server = await Start();
        server.Faults = new HubFaults { Blanks = 40 << 20 };
        await Refused(server.Options(folder), "more than 33554432 bytes");
        server.Faults = new HubFaults { EndlessPages = true };
        await Refused(server.Options(folder), "has no end");
    }
}
