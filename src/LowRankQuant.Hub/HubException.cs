namespace LowRankQuant.Hub;

/// <summary>What a hub, its cache or a name of it does not give: the message names the repository or file, what was answered, and the remedy.</summary>
public class HubException : Exception
{
    /// <summary>Creates the exception with its message.</summary>
    public HubException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public HubException(string message, Exception? inner)
        : base(message, inner)
    {
    }

    /// <summary>Creates an exception without a message.</summary>
    public HubException()
    {
    }

    /// <summary>What the hub calls the error (<c>X-Error-Code</c>), such as <c>GatedRepo</c>; null where it does not say.</summary>
    public string? Code { get; init; }

    /// <summary>The commit that was looked into (<c>X-Repo-Commit</c>); null where the hub does not say.</summary>
    public string? Commit { get; init; }

    /// <summary>The HTTP status; null where no answer came.</summary>
    public int? Status { get; init; }
}

/// <summary>A failure that may pass: a connection that was cut, a server that is busy or asks to wait.</summary>
/// <param name="what">What happened, without a full stop.</param>
/// <param name="remedy">What to do should it not pass, without a full stop.</param>
/// <param name="inner">Its cause.</param>
/// <param name="wait">How long the server asks to wait; null where it does not say.</param>
internal sealed class TransientHubException(string what, string remedy, Exception? inner = null, TimeSpan? wait = null) : HubException($"{what}{(IsUnknown(inner) ? "" : ", time after time")}; {remedy}.", inner)
{
    public string What { get; } = what;

    public TimeSpan? Wait { get; } = wait;

    /// <summary>Whether nobody knows the host: there is no network, or no such hub.</summary>
    public bool IsUnknownHost => IsUnknown(InnerException);

    private static bool IsUnknown(Exception? cause) => cause is HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError };
}
