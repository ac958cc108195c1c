namespace LowRankQuant.Hub;

/// <summary>What a fetch leaves on disk.</summary>
/// <param name="Name">What was asked for.</param>
/// <param name="Commit">The commit that the revision is.</param>
/// <param name="Folder">The commit's folder in the cache.</param>
/// <param name="Location">What to open: the folder, or the one file that was named or is the model.</param>
/// <param name="Files">Files that were asked for.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="Downloaded">Bytes that came over the net.</param>
public sealed record HubSnapshot(HubName Name, string Commit, string Folder, string Location, IReadOnlyList<string> Files, long Bytes, long Downloaded);
