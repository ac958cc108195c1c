namespace LowRankQuant.Hub;

/// <summary>A file of a repository.</summary>
/// <param name="Path">Its name, parts between slashes.</param>
/// <param name="Size">Its bytes.</param>
/// <param name="ETag">Its content's name, see <see cref="ContentHash"/>.</param>
internal sealed record HubFile(string Path, long Size, string ETag)
{
    // 2^50: a thousand times the largest file that a hub takes.
    private const long Largest = 1L << 50;

    /// <summary>Makes one from what a server says.</summary>
    /// <exception cref="HubException">The name leads out of the folder, the size is none, or the content cannot be checked.</exception>
    public static HubFile Of(string path, long? size, string? etag, string where)
    {
        HubPath.Require(path, where);
        if (size is not (>= 0 and <= Largest)) throw new HubException($"{where}: {path}: the size is {size?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "not said"}; it must be 0 to {Largest} bytes.");
        if (etag is null || !ContentHash.IsOne(etag)) throw new HubException($"{where}: {path}: its ETag is neither git's sha1 nor a sha256, so that nothing could be checked; ask a hub that gives one.");
        return new HubFile(path, size.Value, etag);
    }
}
