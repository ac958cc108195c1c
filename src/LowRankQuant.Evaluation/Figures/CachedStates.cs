using LowRankQuant.Formats;
using LowRankQuant.Numerics;

namespace LowRankQuant.Evaluation.Figures;

/// <summary>The reference's states as far as a cache has them; what it lacks is computed and put there. Of a reference whose states are all there no block is loaded.</summary>
internal sealed class CachedStates : IReferenceStates
{
    private readonly ReferenceCache _cache;
    private readonly IReferenceStates _computed;
    private readonly Device _device;
    private readonly byte[] _model;
    private readonly int _columns;

    /// <param name="cache">The cache.</param>
    /// <param name="reference">The reference; its blocks must be its own, as its files name the states.</param>
    /// <param name="computed">Computes its states.</param>
    public CachedStates(ReferenceCache cache, ModelRunner reference, IReferenceStates computed)
    {
        if (!reference.IsPlain || reference.EmbeddingSource is not null) throw new ArgumentException("States of a reference with other weights than its files' cannot be kept under their name.", nameof(reference));
        (_cache, _computed, _device, _columns) = (cache, computed, reference.Model.Device, reference.Model.Config.HiddenSize);
        _model = ReferenceCache.HashOf(reference.Model);
    }

    /// <inheritdoc/>
    /// <exception cref="EvaluationException">A file of the cache is unsound, or the folder cannot be written or has no room.</exception>
    public ITurnStates Of(int first, IReadOnlyList<int[]> windows, IProgress<EvaluationProgress>? progress, CancellationToken cancellation)
    {
        var turn = new Turn([.. Parts(windows)]);
        try
        {
            foreach (Part part in turn.Parts) part.File = ReferenceFile.TryOpen(_cache.PathOf(part.Hash), part.Hash, part.Lengths, _columns);
            Part[] missing = [.. turn.Parts.Where(part => part.File is null)];
            _cache.WindowsRead += windows.Count - missing.Sum(part => part.Windows.Length);
            if (missing.Length == 0) return turn;
            // Nothing is computed that cannot be kept.
            if (DiskSpace.Shortage(_cache.Folder, missing.Sum(part => ReferenceFile.Size(part.Lengths, _columns))) is { } shortage) throw new EvaluationException($"`reference_cache` {shortage}");
            turn.Computed = _computed.Of(first, [.. missing.SelectMany(part => part.Windows)], progress, cancellation);
            int done = 0;
            foreach (Part part in missing)
            {
                part.FirstComputed = done;
                done += part.Windows.Length;
                Keep(part, turn.Computed, cancellation);
            }
            return turn;
        }
        catch
        {
            turn.Dispose();
            throw;
        }
    }

    private IEnumerable<Part> Parts(IReadOnlyList<int[]> windows)
    {
        var rule = new CachePart();
        int first = 0;
        for (int i = 0; i < windows.Count; i++)
        {
            if (!rule.EndsWith(windows[i].Length) && i < windows.Count - 1) continue;
            int[][] own = [.. windows.Skip(first).Take(i + 1 - first)];
            yield return new Part(own, ReferenceCache.HashOf(_model, own));
            first = i + 1;
        }
    }

    private void Keep(Part part, ITurnStates computed, CancellationToken cancellation)
    {
        string path = _cache.PathOf(part.Hash);
        try
        {
            using OutputLock held = OutputLock.TakePlace(path);
            using Tensor buffer = _device.Empty(part.Lengths.Max(), _columns);
            ReferenceFile.Write(path, part.Hash, part.Lengths, _columns, window =>
            {
                cancellation.ThrowIfCancellationRequested();
                Tensor states = buffer.RowRange(0, part.Lengths[window]);
                computed.Read(part.FirstComputed + window, states);
                return states.ToArray();
            });
            _cache.WindowsKept += part.Windows.Length;
        }
        catch (OutputLockedException)
        {
            // Who holds it writes the same bytes.
            _cache.WindowsLeft += part.Windows.Length;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new EvaluationException($"`reference_cache` {_cache.Folder} cannot be written: {(failure.InnerException ?? failure).Message}", failure);
        }
    }

    private sealed class Part(int[][] windows, byte[] hash)
    {
        public int[][] Windows { get; } = windows;

        public int[] Lengths { get; } = [.. windows.Select(window => window.Length)];

        public byte[] Hash { get; } = hash;

        public ReferenceFile? File { get; set; }

        public int FirstComputed { get; set; }
    }

    private sealed class Turn(Part[] parts) : ITurnStates
    {
        public Part[] Parts { get; } = parts;

        public ITurnStates? Computed { get; set; }

        public void Read(int window, Tensor destination)
        {
            (Part part, int within) = Find(window);
            if (part.File is { } file) destination.CopyFrom(file.Read(within));
            else Computed!.Read(part.FirstComputed + within, destination);
        }

        public void Dispose()
        {
            foreach (Part part in Parts) part.File?.Dispose();
            Computed?.Dispose();
        }

        private (Part Part, int Within) Find(int window)
        {
            foreach (Part part in Parts)
            {
                if (window < part.Windows.Length) return (part, window);
                window -= part.Windows.Length;
            }
            throw new ArgumentOutOfRangeException(nameof(window));
        }
    }
}
