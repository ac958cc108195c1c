namespace LowRankQuant.Hub;

/// <summary>Where a hub has things: <c>/api/models/ORG/NAME/revision/R</c>, <c>/api/models/ORG/NAME/tree/COMMIT</c>, <c>/ORG/NAME/resolve/R/PATH</c>; data sets with <c>datasets</c> in front.</summary>
/// <param name="endpoint">The hub.</param>
internal sealed class HubAddresses(Uri endpoint)
{
    private readonly string _base = endpoint.AbsoluteUri.TrimEnd('/');

    /// <summary>The hub itself.</summary>
    public string Home => _base;

    /// <summary>What a revision is.</summary>
    public Uri Revision(HubName name) => new($"{_base}/api/{Kind(name)}/{name.Repository}/revision/{Uri.EscapeDataString(name.Revision)}");

    /// <summary>The first page of all files of a commit.</summary>
    public Uri Tree(HubName name, string commit) => new($"{_base}/api/{Kind(name)}/{name.Repository}/tree/{commit}?recursive=true&expand=false");

    /// <summary>A file.</summary>
    public Uri File(HubName name, string revision, string path) =>
        new($"{_base}/{(name.IsDataset ? "datasets/" : "")}{name.Repository}/resolve/{Uri.EscapeDataString(revision)}/{string.Join('/', path.Split('/').Select(Uri.EscapeDataString))}");

    /// <summary>The page that people look at.</summary>
    public string Page(HubName name) => $"{_base}/{(name.IsDataset ? "datasets/" : "")}{name.Repository}";

    /// <summary>Whether an address is on the hub's own host: the only place a token is sent to.</summary>
    public bool IsOwn(Uri address) =>
        address.Scheme == endpoint.Scheme && address.Port == endpoint.Port && string.Equals(address.IdnHost, endpoint.IdnHost, StringComparison.OrdinalIgnoreCase);

    /// <summary>For messages: without the query, which may hold a signature that opens the file.</summary>
    public static string Shown(Uri address) => address.GetLeftPart(UriPartial.Path);

    private static string Kind(HubName name) => name.IsDataset ? "datasets" : "models";
}
