namespace LowRankQuant.Evaluation.Figures;

/// <summary>
/// Where the windows of a measurement are cut into files of a cache: behind the window that fills a part. Memory, batches and the number of windows have no say, so that a later
/// measurement, of a longer text that begins alike too, finds the same parts.
/// </summary>
internal sealed class CachePart
{
    // With 4096 columns half a gigabyte; 16 windows of 2048.
    private const int FullTokens = 1 << 15;
    private int _tokens;

    /// <summary>Adds a window.</summary>
    /// <param name="length">Its tokens.</param>
    /// <returns>Whether it is the last of its part.</returns>
    public bool EndsWith(int length)
    {
        _tokens += length;
        if (_tokens < FullTokens) return false;
        _tokens = 0;
        return true;
    }
}
