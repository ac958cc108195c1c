using LowRankQuant.Formats;

namespace LowRankQuant.Hub;

/// <summary>From a name to files: asks the hub what there is, fetches what the cache lacks, several files at a time, and says where it lies.</summary>
/// <param name="options">The hub and the cache.</param>
/// <param name="time">Whose clock pauses go by; null for the system's.</param>
public sealed class HubFetch(HubOptions options, TimeProvider? time = null)
{
    /// <summary>Fetches a model's files, or the file that the name has in it.</summary>
    /// <param name="name">What is wanted.</param>
    /// <param name="patterns">Files wanted instead (<c>*</c> any characters, <c>?</c> one); null for those that make a model.</param>
    /// <param name="progress">Told as bytes come, one call at a time.</param>
    /// <param name="cancellation">Ends it; what came is kept and gone on from.</param>
    /// <exception cref="HubException">The hub or, offline, the cache does not have it; the message says why and what to do.</exception>
    /// <exception cref="CheckpointFormatException">An index of shards is unsound.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written.</exception>
    public async Task<HubSnapshot> FetchAsync(HubName name, IReadOnlyList<string>? patterns, IProgress<HubProgress>? progress, CancellationToken cancellation)
    {
        if (name is { IsDataset: true, Path: null } && patterns is null)
            throw new HubException($"{name}: is a whole data set; name a file of it, such as {name with { Path = "train.jsonl" }}, or patterns of files.");
        var cache = new HubCache(options.Cache, name);
        var tally = new HubTally(progress);
        if (options.Offline) return Cached(cache, name, patterns, $"no network is asked (HF_HUB_OFFLINE), and {options.Cache}");
        // A commit's file never changes.
        if (name is { Path: { } known, IsCommit: true } && HubSelection.Parts(known).All(part => File.Exists(cache.File(name.Revision, part)))) return Snapshot(cache, name, name.Revision, HubSelection.Parts(known), known, 0);
        using var client = new HubClient(options, time ?? TimeProvider.System, line => tally.Say(line));
        var work = new Work(client, cache, name, tally);
        try
        {
            return name.Path is { } path ? await FileAsync(work, path, cancellation).ConfigureAwait(false)
                : await RepositoryAsync(work, patterns, cancellation).ConfigureAwait(false);
        }
        catch (TransientHubException failure) when (tally.Total == 0 && cache.Commit(name.Revision) is { } commit && cache.Files(commit).Count > 0)
        {
            HubSnapshot there = Cached(cache, name, patterns, $"{failure.Message} And {options.Cache}");
            tally.Say($"{failure.Message.TrimEnd('.')}; taking what the cache has: {name.Repository} of commit {commit}", HubLine.Warning);
            return there;
        }
    }

    /// <summary>What the parts of one fetch share.</summary>
    private sealed record Work(HubClient Client, HubCache Cache, HubName Name, HubTally Tally);

    private async Task<HubSnapshot> FileAsync(Work work, string path, CancellationToken cancellation)
    {
        (HubClient client, HubCache cache, HubName name, _) = work;
        var files = new List<HubFile>();
        string? commit = null;
        foreach (string part in HubSelection.Parts(path))
        {
            try
            {
                (HubFile file, commit) = await client.FileAsync(commit is null ? name : name.At(commit), part, cancellation).ConfigureAwait(false);
                files.Add(file);
            }
            catch (HubException absent) when (absent is { Code: HubAnswers.EntryNotFound, Commit: { } of })
            {
                cache.SetAbsent(of, part);
                cache.SetCommit(name.Revision, of);
                throw;
            }
        }
        long came = await DownloadAsync(work, commit!, files, cancellation).ConfigureAwait(false);
        cache.SetCommit(name.Revision, commit!);
        return Snapshot(cache, name, commit!, [.. files.Select(file => file.Path)], path, came);
    }

    private async Task<HubSnapshot> RepositoryAsync(Work work, IReadOnlyList<string>? patterns, CancellationToken cancellation)
    {
        (HubClient client, HubCache cache, HubName name, _) = work;
        string commit = await client.CommitAsync(name, cancellation).ConfigureAwait(false);
        IReadOnlyList<HubFile> all = await client.FilesAsync(name, commit, cancellation).ConfigureAwait(false);
        string[] names = [.. all.Select(file => file.Path)];
        HubSelection selection = patterns is null ? HubSelection.Of(names, name) : HubSelection.Of(names, name, patterns);
        long came = 0;
        HashSet<string> wanted = [.. selection.Files];
        if (selection.Index is { } index)
        {
            // The index says which shards are the model: some repositories hold it twice.
            came = await DownloadAsync(work, commit, [.. all.Where(file => file.Path == index)], cancellation).ConfigureAwait(false);
            wanted.UnionWith(HubSelection.Shards(cache.File(commit, index), names, name));
        }
        HubFile[] files = [.. all.Where(file => wanted.Contains(file.Path))];
        came += await DownloadAsync(work, commit, [.. files.Where(file => file.Path != selection.Index)], cancellation).ConfigureAwait(false);
        cache.SetCommit(name.Revision, commit);
        return Snapshot(cache, name, commit, [.. files.Select(file => file.Path)], selection.Gguf, came);
    }

    private async Task<long> DownloadAsync(Work work, string commit, IReadOnlyList<HubFile> files, CancellationToken cancellation)
    {
        (HubClient client, HubCache cache, HubName name, HubTally tally) = work;
        cache.Prepare();
        HubFile[] missing = [.. files.Where(file => !cache.Has(file.ETag, file.Size))];
        DiskSpace.Require(cache.Folder, missing.Sum(file => file.Size - Left(cache, file)));
        if (missing.Length > 0) tally.Begin(missing.Length, missing.Sum(file => file.Size), name);
        var download = new HubDownload(client, cache, name, options);
        long came = 0;
        await Parallel.ForEachAsync(files, new ParallelOptions { MaxDegreeOfParallelism = options.Parallel, CancellationToken = cancellation }, async (file, stop) =>
        {
            bool counted = missing.Contains(file);
            long bytes = await download.RunAsync(commit, file, more => tally.Advance(counted ? more : 0), line => tally.Say(line), stop).ConfigureAwait(false);
            Interlocked.Add(ref came, bytes);
        }).ConfigureAwait(false);
        return came;
    }

    private static long Left(HubCache cache, HubFile file) => new FileInfo(cache.Incomplete(file.ETag)) is { Exists: true } part && part.Length <= file.Size ? part.Length : 0;

    // What the cache has of a name, where nobody is asked.
    private static HubSnapshot Cached(HubCache cache, HubName name, IReadOnlyList<string>? patterns, string why)
    {
        string pull = $"lrq pull {name} fetches it where there is a network";
        string commit = cache.Commit(name.Revision) ?? throw new HubException($"{name}: {why} does not have revision '{name.Revision}' of it; {pull}.");
        IReadOnlyList<string> there = cache.Files(commit);
        if (name.Path is { } path)
        {
            if (cache.IsAbsent(commit, path)) throw new HubException($"{name}: {why} knows that commit {commit} has no such file.") { Code = HubAnswers.EntryNotFound };
            string[] missing = [.. HubSelection.Parts(path).Except(there, StringComparer.Ordinal)];
            return missing.Length == 0 ? Snapshot(cache, name, commit, HubSelection.Parts(path), path, 0) : throw new HubException($"{name}: {why} lacks {string.Join(", ", missing)}; {pull}.");
        }
        try
        {
            HubSelection selection = patterns is null ? HubSelection.Of(there, name) : HubSelection.Of(there, name, patterns);
            IReadOnlyList<string> shards = selection.Index is { } index ? HubSelection.Shards(cache.File(commit, index), there, name) : [];
            string[] missing = [.. (selection.Gguf is null ? [] : selection.Files).Except(there, StringComparer.Ordinal)];
            if (missing.Length > 0) throw new HubException($"{name}: {string.Join(", ", missing)} are not there.");
            return Snapshot(cache, name, commit, [.. selection.Files.Union(shards, StringComparer.Ordinal)], selection.Gguf, 0);
        }
        catch (HubException incomplete)
        {
            throw new HubException($"{name}: {why} has {there.Count} files of commit {commit} and not all of it ({incomplete.Message.TrimEnd('.')}); {pull}.", incomplete);
        }
    }

    private static HubSnapshot Snapshot(HubCache cache, HubName name, string commit, IReadOnlyList<string> files, string? opened, long came) => new(
        name, commit, cache.Snapshot(commit), opened is null ? cache.Snapshot(commit) : cache.File(commit, opened), files, files.Sum(file => FileLength.Of(cache.File(commit, file))), came);
}
