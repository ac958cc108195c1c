using System.Buffers;
using System.Net;
using LowRankQuant.Formats;

namespace LowRankQuant.Hub;

/// <summary>One file from the hub into the cache: under a lock, resumed where an earlier try ended, checked, and only then under its name.</summary>
/// <param name="client">The hub.</param>
/// <param name="cache">The repository's cache.</param>
/// <param name="name">The repository.</param>
/// <param name="options">How long a pause may be.</param>
internal sealed class HubDownload(HubClient client, HubCache cache, HubName name, HubOptions options)
{
    private const int BufferSize = 1 << 20;
    private const string Kept = "what came is kept, and the same command goes on from there";

    /// <summary>Fetches a file that the cache lacks, and puts it into the commit's folder.</summary>
    /// <param name="commit">The commit.</param>
    /// <param name="file">The file.</param>
    /// <param name="advance">Told how many bytes came; fewer than none where what was there had to be thrown away.</param>
    /// <param name="note">Told what a user may wonder about.</param>
    /// <param name="cancellation">Ends it; what came is kept and gone on from.</param>
    /// <returns>Bytes that came over the net.</returns>
    /// <exception cref="HubException">The hub does not give it, or other bytes than it says.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written.</exception>
    public async Task<long> RunAsync(string commit, HubFile file, Action<long> advance, Action<string> note, CancellationToken cancellation)
    {
        long came = 0;
        if (cache.Has(file.ETag, file.Size)) advance(file.Size);
        else
        {
            using IDisposable held = await HubLock.TakeAsync(
                cache.Lock(file.ETag), () => note($"{file.Path}: another process fetches it; waiting for that one"), cancellation).ConfigureAwait(false);
            // Whoever had the lock may have fetched it.
            if (cache.Has(file.ETag, file.Size)) advance(file.Size);
            else came = await FetchAsync(commit, file, advance, note, cancellation).ConfigureAwait(false);
        }
        cache.Place(commit, file.Path, file.ETag);
        return came;
    }

    private async Task<long> FetchAsync(string commit, HubFile file, Action<long> advance, Action<string> note, CancellationToken cancellation)
    {
        string incomplete = cache.Incomplete(file.ETag);
        using var part = new PartialFile(incomplete, file, advance);
        DiskSpace.Require(incomplete, file.Size - part.Length);
        bool resumed = part.Length > 0;
        if (resumed) note($"{file.Path}: going on from byte {part.Length}");
        while (true)
        {
            while (part.Length < file.Size)
            {
                long before = part.Length;
                try
                {
                    await client.Retry.ExecuteAsync(async token => await TryAsync(commit, file, part, token).ConfigureAwait(false), cancellation).ConfigureAwait(false);
                }
                catch (TransientHubException) when (part.Length > before)
                {
                    // A line that is cut again and again still brings the file, as long as each try gets further.
                }
            }
            string hash = part.Hash;
            if (hash == file.ETag) break;
            part.Restart();
            string kind = file.ETag.Length == 64 ? "sha256" : "git's sha1";
            if (!resumed) throw new HubException($"{name}: {file.Path}: {kind} of what came is {hash}, the hub says {file.ETag}; it was thrown away. Try again; if that ends so too, the file there, or what stands between, is damaged.");
            note($"{file.Path}: what an earlier try left does not fit; fetching it anew");
            resumed = false;
        }
        part.Complete(cache.Blob(file.ETag));
        return part.Added;
    }

    // One request; as much as it brings is kept.
    private async Task TryAsync(string commit, HubFile file, PartialFile part, CancellationToken cancellation)
    {
        using HttpResponseMessage response = await client.OpenAsync(name, commit, file, part.Length, cancellation).ConfigureAwait(false);
        string where = $"{name}: {file.Path}";
        if (response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable)
        {
            part.Restart();
            throw new TransientHubException($"{where}: {HubAddresses.Shown(response.RequestMessage!.RequestUri!)} answers 416 to a range within the file's {file.Size} bytes", "try later");
        }
        if (response.StatusCode == HttpStatusCode.PartialContent)
        {
            if (response.Content.Headers.ContentRange is not { From: { } first } range || first != part.Length || (range.Length ?? file.Size) != file.Size)
                throw new HubException($"{where}: bytes from {part.Length} of {file.Size} were asked for, and '{response.Content.Headers.ContentRange}' comes.");
        }
        else if (part.Length > 0) part.Restart();
        if (response.Content.Headers.ContentLength is { } length && length != file.Size - part.Length)
            throw new HubException($"{where}: {length} bytes are announced where {file.Size - part.Length} are missing of the {file.Size} that the hub states; the file there has changed, or something between changes it.");
        await CopyAsync(response, file, part, where, cancellation).ConfigureAwait(false);
    }

    private async Task CopyAsync(HttpResponseMessage response, HubFile file, PartialFile part, string where, CancellationToken cancellation)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        try
        {
            using Stream stream = await ReadAsync(() => response.Content.ReadAsStreamAsync(patience.Token)).ConfigureAwait(false);
            while (true)
            {
                int read = await ReadAsync(() => stream.ReadAsync(buffer.AsMemory(0, BufferSize), patience.Token).AsTask()).ConfigureAwait(false);
                if (read == 0) break;
                if (part.Length + read > file.Size)
                {
                    part.Restart();
                    throw new HubException($"{where}: more comes than the {file.Size} bytes that the hub states; cut off and thrown away.");
                }
                part.Append(buffer.AsSpan(0, read));
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
        if (part.Length < file.Size) throw new TransientHubException($"{where}: the connection ended after {part.Length} of {file.Size} bytes", Kept);

        // What the net does may pass; what the disk does is not caught here.
        async Task<T> ReadAsync<T>(Func<Task<T>> read)
        {
            patience.CancelAfter(options.StallTimeout);
            try
            {
                return await read().ConfigureAwait(false);
            }
            catch (OperationCanceledException slow) when (!cancellation.IsCancellationRequested)
            {
                throw new TransientHubException($"{where}: nothing came for {options.StallTimeout.TotalSeconds:0} s", Kept, slow);
            }
            catch (Exception cut) when (cut is IOException or HttpRequestException)
            {
                throw new TransientHubException($"{where}: the connection was cut after {part.Length} of {file.Size} bytes ({cut.Message.TrimEnd('.')})", Kept, cut);
            }
        }
    }
}
