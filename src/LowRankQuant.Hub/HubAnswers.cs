using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;

namespace LowRankQuant.Hub;

/// <summary>What an answer that is no file means, and what to do about it.</summary>
/// <param name="options">Whose token was sent.</param>
/// <param name="addresses">Where the pages of the hub are.</param>
/// <param name="time">What time it is, for dates to wait for.</param>
internal sealed partial class HubAnswers(HubOptions options, HubAddresses addresses, TimeProvider time)
{
    public const string EntryNotFound = "EntryNotFound";
    private const int LongestMessage = 200;

    /// <summary>The exception for an answer; null for one that is what was asked for.</summary>
    /// <param name="response">The answer.</param>
    /// <param name="name">The repository.</param>
    /// <param name="what">What was asked for: a file's name, or what it is.</param>
    public HubException? Failure(HttpResponseMessage response, HubName name, string what)
    {
        if (response.IsSuccessStatusCode) return null;
        int status = (int)response.StatusCode;
        string? code = Header(response, "X-Error-Code"), said = Header(response, "X-Error-Message");
        string answer = code is null ? $"{status}" : $"{status} {code}";
        string asked = $"{HubAddresses.Shown(response.RequestMessage!.RequestUri!)} answers {answer}{(said is null ? "" : $" ({said.TrimEnd('.')})")}";
        if (IsTransient(response.StatusCode))
        {
            TimeSpan? wait = Wait(response);
            if (wait <= options.LongestWait || wait is null) return new TransientHubException($"{name}: {what}: {asked}", "try later", wait: wait) { Status = status, Code = code };
            return new HubException($"{name}: {what}: {asked} and asks to wait for {Math.Ceiling(wait.Value.TotalSeconds):0} s; try then. With a token the hub answers more often.") { Status = status, Code = code };
        }
        string? commit = Header(response, "X-Repo-Commit");
        return new HubException(Message(name, what, status, code, asked)) { Status = status, Code = code, Commit = commit is not null && HubName.Commit().IsMatch(commit) ? commit : null };
    }

    private string Message(HubName name, string what, int status, string? code, string asked)
    {
        string page = addresses.Page(name);
        if (code == "GatedRepo" || (status == 403 && code is null))
        {
            return options.Token is null
                ? $"{name}: access is restricted: {asked}. Ask for it on {page}, make a token in the hub's settings, and give it by HF_TOKEN or in the file {options.TokenFile}."
                : $"{name}: the token that was sent has no access: {asked}. Ask for it on {page}, or give another account's token by HF_TOKEN or in the file {options.TokenFile}.";
        }
        if (code == "RevisionNotFound") return $"{name}: there is no revision '{name.Revision}': {asked}. {page}/tree/{HubName.DefaultRevision} lists branches and tags.";
        if (code == EntryNotFound) return $"{name}: {what} is not there: {asked}. {page}/tree/{Uri.EscapeDataString(name.Revision)} lists the files.";
        if (status == 401 && options.Token is not null && code != "RepoNotFound") return $"{name}: the token is not accepted: {asked}. Take it from the hub's settings again; it stands in HF_TOKEN or in the file {options.TokenFile}.";
        if (code == "RepoNotFound" || status is 401 or 404)
        {
            string token = options.Token is null ? "for a private one give a token by HF_TOKEN or in the file " + options.TokenFile : "the token that was sent may not see it";
            return $"{name}: there is no such {(name.IsDataset ? "data set" : "model")} on {addresses.Home}, or it is private: {asked}. Look how it is written; {token}.";
        }
        return $"{name}: {what}: {asked}.";
    }

    // A server is busy, or something between us is.
    private static bool IsTransient(HttpStatusCode status) => status is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests or HttpStatusCode.InternalServerError
        or HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout;

    /// <summary>How long a server asks to wait: Retry-After in seconds or as a date, or the t of RateLimit (<c>"resolvers";r=0;t=1</c>).</summary>
    private TimeSpan? Wait(HttpResponseMessage response)
    {
        TimeSpan? wait = response.Headers.RetryAfter is { } after ? after.Delta ?? after.Date - time.GetUtcNow() : null;
        if (wait is null && Header(response, "RateLimit") is { } limit && Reset().Match(limit) is { Success: true } match)
            wait = TimeSpan.FromSeconds(int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture));
        return wait < TimeSpan.Zero ? TimeSpan.Zero : wait;
    }

    public static string? Header(HttpResponseMessage response, string header)
    {
        if (!response.Headers.TryGetValues(header, out IEnumerable<string>? values)) return null;
        string value = string.Join(", ", values);
        return value.Length <= LongestMessage ? value : value[..LongestMessage];
    }

    [GeneratedRegex(@";\s*t=(\d{1,8})")]
    private static partial Regex Reset();
}
